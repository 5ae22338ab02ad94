"""`cunet gradcheck`: it passes, and it fails where a limit is exceeded."""

import functools
import json

from cunet.net import gradcheck


def test_gradcheck_passes_and_fails_with_code_6(run, monkeypatch):
    for name in ("check_operations", "check_net"):  # computed once, judged twice
        results = getattr(gradcheck, name)
        computed = functools.cache(lambda *given, results=results: list(results(*given)))
        monkeypatch.setattr(gradcheck, name, computed)
    code, text, _ = run("gradcheck", "--json")
    answer = json.loads(text)
    assert code == 0 and answer["passed"] and answer["worst"] < 1e-6
    arrays = {}
    for a in answer["arrays"]:
        arrays.setdefault(a["name"].removeprefix("U-Net, depth 2, "), set()).add(a["array"])
    assert len(arrays["paper"]) == len(arrays["release2015"]) == 27
    assert len(arrays["same, batch norm, sigmoid"]) == 37
    code, _, err = run("gradcheck", "-q", "--limit", "1e-30")
    assert code == 6 and "exceed" in err
