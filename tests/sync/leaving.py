from lionpride import job


@job
async def leave() -> None:
    raise SystemExit(7)
