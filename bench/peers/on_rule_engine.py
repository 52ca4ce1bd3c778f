"""Matches events with `rule-engine` (PyPI), every rule in turn; run by the Python that has it: on_rule_engine.py FILE.

FILE holds {"rules": [text], "events": [text]}; the last line printed is {"events_per_s", "matches", "version"}.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import rule_engine

work = json.loads(Path(sys.argv[1]).read_text())
context = rule_engine.Context(default_value=None)  # a field that is not there is null
rules = [rule_engine.Rule(text, context=context) for text in work["rules"]]
matches = 0
begun = time.process_time()
for line in work["events"]:
    event = json.loads(line)
    for rule in rules:
        if rule.matches(event):
            matches += 1
spent = time.process_time() - begun
print(json.dumps({"events_per_s": len(work["events"]) / spent, "matches": matches, "version": version("rule-engine")}))
