"""Leaves out the findings that explained.py explains, and counts them for the summary."""

import atexit
import json
import os
import sys
from collections import Counter
from pathlib import Path

import schemathesis

sys.path.insert(0, str(Path(__file__).parent))
from explained import reason_for  # noqa: E402

counts: Counter[str] = Counter()


@schemathesis.hook
def filter_failure(context, failure, case, response) -> bool:
    answer = f"{response.status_code} {response.content.decode('utf-8', 'replace')}"
    reason = reason_for(type(failure).__name__, case.operation.label, answer)
    if reason is None:
        return True
    counts[reason] += 1
    return False


@atexit.register
def write_counts() -> None:
    Path(os.environ["SANDPIT_EXPLAINED"]).write_text(json.dumps(counts))
