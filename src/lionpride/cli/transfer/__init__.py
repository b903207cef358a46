"""Events and schedules as lines of JSON, for `export` and `import`."""
