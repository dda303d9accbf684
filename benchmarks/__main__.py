"""``python -m benchmarks [section …] [--rounds N] [--json FILE]``. ``make bench`` calls this."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.cold_start import measure_cold_starts, measure_imports
from benchmarks.floors import measure_floors
from benchmarks.growth import measure_growth
from benchmarks.load import measure_load
from benchmarks.login_parts import measure_login_parts
from benchmarks.memory import measure_memory
from benchmarks.peers import measure_peers
from benchmarks.report import Section, as_json, as_markdown, machine
from benchmarks.round_trips import measure_round_trips
from benchmarks.sam_start import measure_containers
from benchmarks.summary import summarise

#: The function that measures each section, and the default number of rounds.
SECTIONS: Final[dict[str, tuple[Callable[..., Section], int]]] = {
    "floors": (measure_floors, 15),
    "peers": (measure_peers, 11),
    "login-parts": (measure_login_parts, 21),
    "round-trips": (measure_round_trips, 5),
    "load": (measure_load, 3),
    "cold-start": (measure_cold_starts, 3),
    "growth": (measure_growth, 3),
    "imports": (measure_imports, 3),
    "memory": (measure_memory, 1),
    "sam": (measure_containers, 5),
}
#: The sections that run only if they are named. Without them ``make bench`` ends within 15 minutes.
_ONLY_IF_NAMED: Final = {"imports", "memory", "sam"}
#: The options that only some sections have.
_OPTIONS: Final = {"round-trips": ["flights"], "growth": ["largest"]}


def main() -> None:
    """Measure the sections, print each one when it is complete, then a summary. Write all of them as JSON if asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="section", help=f"from: {', '.join(SECTIONS)}")
    parser.add_argument("--rounds", type=int, help="how often each pair is measured")
    parser.add_argument(
        "--largest", action="store_true", help="measure growth to a million users, which needs 20 GB of disk"
    )
    parser.add_argument("--flights", action="store_true", help="print the statements of each round trip")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file as JSON")
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - SECTIONS.keys():
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    results: dict[str, Section] = {}
    for title in arguments.sections or [name for name in SECTIONS if name not in _ONLY_IF_NAMED]:
        start = time.monotonic()
        measure, rounds = SECTIONS[title]
        options = _OPTIONS.get(title, ())
        results[title] = measure(
            rounds=arguments.rounds or rounds, **{name: getattr(arguments, name) for name in options}
        )
        print(f"\n## {title}\n\n{as_markdown(results[title])}", flush=True)
        print(f"\nThis section took {time.monotonic() - start:.0f} seconds.", flush=True)
    if (summary := summarise(results)).rows:
        results["summary"] = summary
        print(f"\n## summary\n\n{as_markdown(summary)}")
    if arguments.json:
        arguments.json.write_text(as_json(results))


main()
