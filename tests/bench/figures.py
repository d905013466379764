"""figures.py - from measured values to figures: medians, ratios pair by pair, goals, and how they are shown."""

import statistics

# What a figure has to reach: its ratio to stock bullmq, or its value where there is nothing to compare with (share of the
# floor, time). ">=": at least, "<=": at most.
RATIO_GOALS = {
    "drain, jobs/s": (">=", 2.5),
    "drain, worker CPU us/job": ("<=", 1 / 15),
    "drain, Redis CPU us/job": ("<=", 0.5),
    "concurrency 1, jobs/s": (">=", 1.8),
    "bulk add, jobs/s": (">=", 4.0),
    "single adds pipelined, jobs/s": (">=", 4.0),
    "producer and worker at once, jobs/s": (">=", 3.3),
    "pick-up p50, ms": ("<=", 0.25),
    "pick-up p99, ms": ("<=", 0.25),
    "worker idle (noop), PSS MiB": ("<=", 1 / 12),
    "worker idle (noop), RSS MiB": ("<=", 1 / 12),
    "worker peak (noop), RSS MiB": ("<=", 1 / 12),
    "worker idle (process), PSS MiB": ("<=", 1 / 12),
    "worker idle (process), RSS MiB": ("<=", 1 / 12),
    "worker peak (process), RSS MiB": ("<=", 1 / 12),
    "100 jobs at once in Node, jobs/s": (">=", 1.0),
    "100 jobs at once in Node, total PSS MiB": ("<=", 1.2),
}
VALUE_GOALS = {
    "drain, share of the floor": (">=", 0.85),
    "delayed job late p99, ms": ("<=", 5.0),
    "giving back with a sibling, p99 ms": ("<=", 50.0),
    "four workers and eight jobs, most of one": ("<=", 3.0),
    "four workers and eight jobs, least of one": (">=", 1.0),
}


def reaches(value, goal):
    return bool(value >= goal[1] if goal[0] == ">=" else value <= goal[1])


def summarise(rounds):
    """rounds: [{"drover": {figure: v}, "peer": {figure: v}}] → rows in order of appearance."""
    names = list(dict.fromkeys(n for r in rounds for side in ("drover", "peer") for n in r.get(side, {})))
    return [summarise_one(name, rounds) for name in names]


def summarise_one(name, rounds):
    mine = [r["drover"][name] for r in rounds if name in r.get("drover", {})]
    theirs = [r["peer"][name] for r in rounds if name in r.get("peer", {})]
    pairs = [r["drover"][name] / r["peer"][name] for r in rounds
             if name in r.get("drover", {}) and r.get("peer", {}).get(name)]
    goal, judged = RATIO_GOALS.get(name), pairs
    if goal is None:
        goal, judged = VALUE_GOALS.get(name), mine
    return {
        "name": name, "drover": statistics.median(mine) if mine else None,
        "peer": statistics.median(theirs) if theirs else None,
        "ratio": statistics.median(pairs) if pairs else None,
        "ratios": (min(pairs), max(pairs)) if pairs else None,
        "rounds": max(len(pairs), len(mine)), "goal": goal,
        "ok": None if goal is None or not judged else reaches(statistics.median(judged), goal),
    }


def public(row):
    """A row as --json has it: exactly these members."""
    rounded = {key: None if row[key] is None else round(row[key], 3) for key in ("drover", "peer", "ratio")}
    return {"name": row["name"], **rounded, "goal": row["goal"] and round(row["goal"][1], 4), "ok": row["ok"]}


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def show(rows):
    print(f"{'':46} {'drover':>9} {'bullmq 6':>9}   {'ratio: median (min … max)':28} {'goal':>8}")
    for row in rows:
        ratio = f"{row['ratio']:7.3f} ({row['ratios'][0]:.3f} … {row['ratios'][1]:.3f})" if row["ratios"] else ""
        goal = f"{row['goal'][0]} {row['goal'][1]:.3g}" if row["goal"] else ""
        verdict = {True: "ok", False: "MISSED", None: ""}[row["ok"]]
        print(f"{row['name']:46} {number(row['drover']):>9} {number(row['peer']):>9}   {ratio:28} {goal:>8} {verdict}")
