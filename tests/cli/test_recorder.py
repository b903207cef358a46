"""Keeping what the timeline draws: every stay of every event, whatever became of it."""


