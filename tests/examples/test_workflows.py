"""The example workflows, each run with what it needs around it."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from reactor.engine.plan import compile_plan
from reactor.engine.signals import SignalRefused
from reactor.tests.examples.rig import Examples, ended, states

REQUIREMENTS = {"name": "add", "arguments": ["a", "b"], "returns": "a + b"}


@pytest.mark.req("EX-1")
class TestMyWorkflow:
    async def test_it_saves_what_it_processed(self, examples: Examples) -> None:
        run = await examples.run("my-workflow")
        assert (run["state"], run["outputs"]) == ("completed", {"save_results": "saved.json"})
        assert (examples.folder / "saved.json").read_text() == '{"sorted": [1, 2, 3], "sum": 6}'
        assert ended(run) == ["fetch_data", "process_data", "save_results"]

    async def test_a_fetch_that_fails_twice_is_tried_again(
        self, examples: Examples, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[int] = []

        def fetch() -> list[int]:
            calls.append(1)
            if len(calls) < 3:
                raise ConnectionError("away")
            return [7]

        monkeypatch.setattr(examples.module("samples"), "fetch", fetch)
        text = (examples.folder / "workflows/my-workflow.yaml").read_text()
        await examples.deploy(text.replace("{attempts: 4}", "{attempts: 4, delay: 10ms}"))
        run = await examples.run("my-workflow")
        assert run["state"] == "completed"
        assert [step["attempts"] for step in run["steps"]] == [3, 1, 1]

    async def test_a_save_that_fails_cleans_up(self, examples: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
        samples = examples.module("samples")

        def save(processed: dict[str, Any]) -> str:
            samples.SAVED.write_text("hal")
            raise OSError("the disk is gone")

        monkeypatch.setattr(samples, "save", save)
        run = await examples.run("my-workflow")
        assert (run["state"], run["error"]["failed_step"]) == ("compensated", "save_results")
        assert not (examples.folder / "saved.json").exists()


@pytest.mark.req("EX-6")
class TestComprehensiveAnalysis:
    @pytest.fixture
    def inputs(self, examples: Examples) -> dict[str, list[str]]:
        (examples.folder / "a.ex").write_text("Code.eval_string(x)\n\tok == NaN\n")
        (examples.folder / "b.js").write_text("eval(text)\n")
        return {
            "elixir_files": [str(examples.folder / "a.ex")],
            "js_files": [str(examples.folder / "b.js")],
        }

    async def test_it_has_four_levels(self, examples: Examples) -> None:
        entry = examples.app.engine.workflows.current("comprehensive_analysis")
        assert entry is not None
        assert compile_plan(entry.definition).levels() == [
            ["parse_elixir", "parse_javascript"],
            ["semantic_analysis", "security_analysis", "style_analysis"],
            ["llm_review"],
            ["generate_report"],
        ]

    async def test_the_report_has_four_sections(self, examples: Examples, inputs: dict[str, Any]) -> None:
        run = await examples.run("comprehensive_analysis", inputs)
        assert run["state"] == "completed", run["error"]
        (elixir,), (js,) = inputs["elixir_files"], inputs["js_files"]
        assert run["outputs"]["final_report"] == {
            "semantic": [f"{elixir}:2: is never equal"],
            "security": [f"{js}:1: runs text", f"{elixir}:1: runs text"],
            "style": [f"{elixir}:2: has a tab"],
            "insights": ["fine"],
        }

    @pytest.mark.parametrize(
        ("step", "function", "output"),
        [
            ("parse_elixir", "parse_elixir", "elixir_ast"),
            ("parse_javascript", "parse_js", "js_ast"),
            ("semantic_analysis", "semantic_all", "semantic_issues"),
            ("security_analysis", "security_all", "security_issues"),
            ("style_analysis", "style_all", "style_issues"),
            ("generate_report", "final_report", "final_report"),
        ],
    )
    async def test_an_output_that_is_left_out_is_refused(
        self,
        examples: Examples,
        inputs: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
        step: str,
        function: str,
        output: str,
    ) -> None:
        monkeypatch.setattr(examples.module("analysis"), function, lambda **_: {})
        run = await examples.run("comprehensive_analysis", inputs)
        assert (run["state"], run["error"]["code"], run["error"]["failed_step"]) == ("failed", "invalid_output", step)
        assert output in run["error"]["message"]

    async def test_a_model_that_leaves_out_its_insights_is_refused(
        self, examples: Examples, inputs: dict[str, Any]
    ) -> None:
        examples.there.review = {}
        run = await examples.run("comprehensive_analysis", inputs)
        assert (run["error"]["code"], run["error"]["failed_step"]) == ("invalid_output", "llm_review")


@pytest.mark.req("EX-8")
class TestCodeGeneration:
    def files(self, examples: Examples) -> list[str]:
        return sorted(each.name.partition("-")[0] for each in (examples.folder / "generated").glob("*"))

    async def test_it_commits(self, examples: Examples) -> None:
        run = await examples.run("code_generation_transaction", {"requirements": REQUIREMENTS})
        assert run["state"] == "completed", run["error"]
        assert self.files(examples) == ["commit", "draft", "reserved"]

    async def test_a_validation_that_fails_undoes_generate_then_reserve(
        self, examples: Examples, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        undone: list[str] = []
        codegen = examples.module("codegen")
        for name in ("cleanup", "release", "rollback"):
            original = getattr(codegen, name)

            def noted(*, name: str = name, original: Any = original, **args: Any) -> None:
                undone.append(name)
                original(**args)

            monkeypatch.setattr(codegen, name, noted)
        run = await examples.run("code_generation_transaction", {"requirements": {**REQUIREMENTS, "returns": "a +"}})
        assert (run["state"], run["error"]["code"]) == ("compensated", "syntax_error")
        assert run["error"]["failed_step"] == "validate_code"
        assert undone == ["cleanup", "release"]
        assert self.files(examples) == []

    @pytest.mark.req("S-1")
    async def test_a_commit_that_fails_leaves_the_world_as_it_was(
        self, examples: Examples, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(code: str, validation: object) -> None:
            assert self.files(examples) == ["draft", "reserved"]
            raise OSError("the disk is full")

        monkeypatch.setattr(examples.module("codegen"), "commit", full)
        run = await examples.run("code_generation_transaction", {"requirements": REQUIREMENTS})
        assert (run["state"], run["error"]["failed_step"]) == ("compensated", "commit_code")
        assert run["error"]["compensated"] == ["generate_code", "reserve_resources"]
        assert self.files(examples) == []

    @pytest.mark.parametrize(
        ("step", "function"),
        [
            ("reserve_resources", "reserve"),
            ("generate_code", "generate"),
            ("validate_code", "validate"),
            ("commit_code", "commit"),
        ],
    )
    async def test_an_output_that_is_left_out_is_refused(
        self, examples: Examples, monkeypatch: pytest.MonkeyPatch, step: str, function: str
    ) -> None:
        monkeypatch.setattr(examples.module("codegen"), function, lambda **_: {"temp_files": []})
        run = await examples.run("code_generation_transaction", {"requirements": REQUIREMENTS})
        assert (run["error"]["code"], run["error"]["failed_step"]) == ("invalid_output", step)
        assert run["state"] == ("failed" if step == "reserve_resources" else "compensated")


@pytest.mark.req("EX-9")
@pytest.mark.parametrize(
    ("goes_wrong", "attempts", "state", "prepared"),
    [
        ("network_error", 5, "compensated", False),
        ("invalid_input", 1, "failed", True),
        ("disk_error", 1, "compensated", False),
        ("", 1, "completed", True),
    ],
)
async def test_each_error_has_its_own_answer(
    examples: Examples, goes_wrong: str, attempts: int, state: str, prepared: bool
) -> None:
    run = await examples.run("risky", {"goes_wrong": goes_wrong})
    assert (run["state"], run["steps"][1]["attempts"]) == (state, attempts)
    assert (examples.folder / "prepared").exists() is prepared


@pytest.mark.req("EX-10")
async def test_a_step_gets_exactly_what_is_mapped(examples: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = examples.module("samples")
    seen: list[dict[str, Any]] = []
    original = samples.process_data

    def process_data(**args: Any) -> Any:
        seen.append(args)
        return original(**args)

    monkeypatch.setattr(samples, "process_data", process_data)
    run = await examples.run("mapped_inputs")
    assert seen == [{"raw_data": [1, 2, 3], "config": {"factor": 2}}]
    assert run["outputs"] == {"processed_data": [2, 4, 6], "metrics": {"count": 3}}


@pytest.mark.req("EX-12")
async def test_a_server_that_hangs_is_asked_four_times(examples: Examples) -> None:
    text = (examples.folder / "workflows/external.yaml").read_text()
    assert "timeout: 5s, retry: {attempts: 4}" in text
    text = text.replace("timeout: 5s, retry: {attempts: 4}", "timeout: 1s, retry: {attempts: 4, delay: 5ms}")
    await examples.deploy(text.replace("${{ vars.api }}", "${{ vars.api }}/hang"))
    run = await examples.run("external")
    assert (run["state"], run["error"]["code"]) == ("failed", "max_retries_exceeded")
    assert run["error"]["cause"]["code"] == "timeout"
    assert (run["steps"][0]["attempts"], examples.there.hanging) == (4, 4)
    assert run["execution_ms"] >= 4_000


@pytest.mark.req("EX-16")
class TestDataPipeline:
    ROWS = ({"id": "a", "amount": 1.5}, {"id": "b", "amount": 20})

    async def test_rows_go_from_the_api_to_those_who_wait_for_them(self, examples: Examples) -> None:
        examples.there.records = list(self.ROWS)
        run = await examples.run("data_pipeline")
        assert run["state"] == "completed", run["error"]
        ((headers, sent),) = examples.there.processed
        assert sent == {"rows": [{"id": "b", "cents": 2000}, {"id": "a", "cents": 150}], "count": 2}
        assert headers["ce-type"] == "data.processed"
        assert examples.there.slack == ["2 rows done"]
        done = [name for name in ended(run) if name.startswith("pipeline/")]
        assert done == [f"pipeline/{name}" for name in ("extract", "validate", "transform", "publish", "notify")]

    async def test_a_bad_row_goes_the_error_way(self, examples: Examples) -> None:
        examples.there.records = [*self.ROWS, {"id": "c"}]
        run = await examples.run("data_pipeline")
        assert (run["state"], run["error"]["code"]) == ("failed", "invalid_data")
        assert examples.there.processed == []
        assert examples.there.slack == ["Not loaded: pipeline/validate: row 3 has no id or no amount: {'id': 'c'}"]

    async def test_a_message_that_slack_refuses_is_no_success(self, examples: Examples) -> None:
        examples.there.records = list(self.ROWS)
        examples.there.slack_ok = False
        run = await examples.run("data_pipeline")
        assert (run["state"], run["error"]["code"]) == ("failed", "invalid_output")


@pytest.mark.req("EX-17")
class TestDeployment:
    async def start(self, examples: Examples) -> str:
        return (await examples.app.start("deployment_workflow", revision="r7")).id

    async def at(self, examples: Examples, run: str, step: str) -> None:
        """Wait until the run asks for this approval."""
        async with asyncio.timeout(20):
            while (states(await examples.app.get(run))).get(step) != "waiting":
                await asyncio.sleep(0.01)

    async def answer(self, examples: Examples, run: str, step: str, yes: bool) -> None:
        """Answer as soon as the request is durable, a moment after the step is shown as waiting."""
        await self.at(examples, run, step)
        async with asyncio.timeout(20):
            while True:
                try:
                    await examples.app.runs_api.answer(run, step, approve=yes, by="ann", via="test")
                except SignalRefused:
                    await asyncio.sleep(0.01)
                else:
                    return

    def done(self, examples: Examples) -> list[str]:
        return (examples.folder / "deployments.log").read_text().splitlines()

    async def end(self, examples: Examples, run: str) -> dict[str, Any]:
        await asyncio.wait_for(examples.app.runs_api.outcome(run), 20)
        return await examples.app.get(run)

    async def test_three_stages_with_two_gates(self, examples: Examples) -> None:
        run = await self.start(examples)
        await self.at(examples, run, "release/gate_staging")
        assert self.done(examples) == ["test", "build", "deploy dev"]
        await self.answer(examples, run, "release/gate_staging", True)
        await self.at(examples, run, "release/gate_prod")
        assert self.done(examples)[3:] == ["deploy staging", "integration"]
        await self.answer(examples, run, "release/gate_prod", True)
        assert (await self.end(examples, run))["state"] == "completed"
        assert self.done(examples)[5:] == ["deploy prod"]
        (told,) = examples.there.pagerduty
        assert (told["path"], told["payload"]["summary"]) == ("/pagerduty/change/enqueue", "Deployed r7")

    async def test_a_no_at_the_first_gate_stops_before_staging(self, examples: Examples) -> None:
        run = await self.start(examples)
        await self.answer(examples, run, "release/gate_staging", False)
        assert (await self.end(examples, run))["error"]["message"] == "deployment failed"
        assert self.done(examples) == ["test", "build", "deploy dev"]
        (told,) = examples.there.pagerduty
        assert (told["path"], told["event_action"], told["dedup_key"]) == ("/pagerduty/enqueue", "trigger", run)
        assert told["payload"]["severity"] == "error"

    async def test_a_no_at_the_second_gate_stops_before_prod_and_rolls_back(self, examples: Examples) -> None:
        run = await self.start(examples)
        await self.answer(examples, run, "release/gate_staging", True)
        await self.answer(examples, run, "release/gate_prod", False)
        assert (await self.end(examples, run))["state"] == "compensated"
        assert self.done(examples)[3:] == ["deploy staging", "integration", "deploy staging --rollback"]

    async def test_a_failing_integration_test_alerts(self, examples: Examples) -> None:
        makefile = examples.folder / "Makefile"
        makefile.write_text(makefile.read_text() + "\nbroken:\n\tfalse\n")
        text = (examples.folder / "workflows/deployment_workflow.yaml").read_text()
        await examples.deploy(text.replace("argv: [make, integration]", "argv: [make, broken]"))
        run = await self.start(examples)
        await self.answer(examples, run, "release/gate_staging", True)
        ended_ = await self.end(examples, run)
        assert (ended_["state"], ended_["error"]["message"]) == ("compensated", "deployment failed")
        assert self.done(examples)[3:] == ["deploy staging", "deploy staging --rollback"]
        (told,) = examples.there.pagerduty
        assert told["payload"]["summary"].startswith("Deployment of r7 failed: ")


@pytest.mark.req("EX-18")
class TestAnalysisOfDocuments:
    async def test_three_questions_at_once_then_a_report(self, examples: Examples) -> None:
        assert shutil.which("pandoc"), "pandoc is not installed: run `make setup-servers`"
        there = examples.there
        there.objects = {"2026/a.txt": "<p>Good  news</p>", "2026/b c.txt": "Bad news", "other.txt": "no"}
        there.meet = 3
        run = await examples.run("ai_analysis_workflow", {"bucket": "papers", "prefix": "2026/"})
        assert run["state"] == "completed", run["error"]
        assert sorted(there.asked[:3]) == [f"{word} Good news\nBad news" for word in
                                           ("Entities in:", "Sentiment of:", "Topics of:")]  # fmt: skip
        assert there.asking_most == 3
        assert there.asked[3].startswith("Summarise: About <Sentiment")
        html = (examples.folder / run["outputs"]["report"]).read_text()
        for heading in ("Summary", "Sentiment", "Topics", "Entities"):
            assert f">{heading}</h1>" in html

    async def test_a_prefix_without_documents_asks_nobody(self, examples: Examples) -> None:
        examples.there.objects = {"other.txt": "no"}
        run = await examples.run("ai_analysis_workflow", {"bucket": "papers", "prefix": "2026/"})
        assert (run["state"], run["error"]["code"]) == ("failed", "no_documents")
        assert run["error"]["message"] == "the bucket papers has no document below this prefix"
        assert examples.there.asked == []

    async def test_without_pandoc_it_says_so(
        self, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        examples.there.objects = {"2026/a.txt": "Good news"}
        run = await examples.run("ai_analysis_workflow", {"bucket": "papers", "prefix": "2026/"})
        assert (run["state"], run["error"]["code"]) == ("failed", "command.not_found")
        assert "pandoc" in run["error"]["message"]


@pytest.mark.req("EX-23")
@pytest.mark.parametrize("on_hold", [True, False])
@pytest.mark.parametrize("in_stock", [True, False])
async def test_when_x_do_y_then_z_unless_a_and_only_if_b(examples: Examples, on_hold: bool, in_stock: bool) -> None:
    data = {"order": "A1", "on_hold": on_hold, "in_stock": in_stock}
    receipt = await examples.app.emit("com.shop.order.paid", data)
    (finding,) = (await examples.app.events_api.explain(receipt.event, workflow="full_sentence"))["findings"]
    if in_stock and not on_hold:
        (run,) = receipt.runs
        await asyncio.wait_for(examples.app.runs_api.outcome(run), 20)
        assert states(await examples.app.get(run)) == {"pack": "completed", "ship": "completed"}
        assert finding["finding"] == "matched"
    else:
        assert list(receipt.runs) == []
        assert finding["finding"] == "guard"
        texts = {
            "if": "if: event.data.in_stock is false",
            "unless": "unless: event.data.on_hold is true",
        }
        assert finding["text"] == texts[finding["clause"]]
        assert finding["clause"] in ([] if in_stock else ["if"]) + (["unless"] if on_hold else [])


@pytest.mark.req("EX-24")
async def test_four_small_steps(examples: Examples) -> None:
    run = await examples.run("small")
    assert (run["state"], run["outputs"]) == ("completed", {"sum": 6})
    entry = examples.app.engine.workflows.current("small")
    assert entry is not None
    assert compile_plan(entry.definition).levels() == [["a"], ["b", "c"], ["d"]]
