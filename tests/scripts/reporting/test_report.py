"""The report is one file that stands alone, says the truth and survives odd input."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from kinoise.scripts.command.files import write_atomically
from kinoise.scripts.reporting import charts
from kinoise.scripts.reporting.report import encode_mp4, write_metrics, write_report

VOID = {"meta"}


class _Page(HTMLParser):
    """Checks that tags are balanced and gathers what the page refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag that closes itself opens nothing."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _report(folder: Path, **parts: object) -> str:
    summary = {"success": 0.97, "success_interval": (0.915, 0.99), "n": 100}
    arguments: dict[str, object] = {"title": "T", "summary": summary, **parts}
    return write_report(folder / "report.html", **arguments).read_text()  # type: ignore[arg-type]


def test_the_page_is_well_formed_and_refers_to_nothing_outside(tmp_path: Path) -> None:
    frames = np.zeros((4, 32, 32, 3), np.uint8)
    text = _report(
        tmp_path,
        subtitle="s",
        episodes=[{"seed": i, "success": i > 1, "score": 0.5 * i, "length": 9} for i in range(3)],
        curves={"loss": [(0, 1.0), (10, 0.1)], "score | NFE": {"a": [(1, 0.5, 0.4, 0.6)], "b": []}},
        videos=[{"title": "Best", "caption": "c", "mp4_bytes": encode_mp4(frames, 10)}],
        tables=[{"title": "By sampler", "columns": ["sampler", "NFE"], "rows": [["ddim", 10]]}],
        environment={"python": "3.11", "config": "a: 1\nb: 2\n"},
    )
    page = _Page(text)
    assert page.open == []
    assert [reference[:15] for reference in page.references] == ["data:video/mp4;"]
    assert not re.search(r"url\(|@import|https?://", text)
    assert {"video", "svg", "table", "details"} <= set(page.tags)


def test_the_headline_numbers_stand_in_tiles_with_their_interval(tmp_path: Path) -> None:
    summary: dict[str, object] = {"chunk_ms_p50": 1.62, "chunk_ms_p99": 2.41, "ticks": 1840}
    summary |= {
        "deadline_misses": 0,
        "success": 0.97,
        "success_interval": (0.915, 0.99),
        "my_count": 12,
    }
    text = _report(tmp_path, summary=summary)
    shown = re.sub(r"<[^>]+>", "", text)
    for words in ("97.0 %", "95 % interval 91.5 % – 99.0 %", "1.62 ms", "p99 2.41 ms"):
        assert words in shown
    assert "of 1840 ticks" in shown
    assert "My count" in shown


def test_text_from_outside_is_escaped(tmp_path: Path) -> None:
    evil = '<script>alert("x")</script>'
    text = _report(
        tmp_path,
        title=evil,
        subtitle=evil,
        episodes=[{"seed": evil, "success": True, evil: evil}],
        curves={evil: {evil: [(0, 1.0)], "b": [(0, 1.0)]}},
        tables=[{"title": evil, "columns": [evil], "rows": [[evil]]}],
        environment={evil: evil, "config": f"{evil}\n{evil}"},
        summary={"note": evil},
    )
    assert evil not in text
    assert text.count("<script>") == 1


def test_every_episode_is_in_the_table_and_in_the_strip(tmp_path: Path) -> None:
    episodes = [{"seed": 100_000 + i, "success": i != 3, "score": i / 10} for i in range(10)]
    text = _report(tmp_path, episodes=episodes)
    assert all(f'<td data-value="{each["seed"]}">{each["seed"]}</td>' for each in episodes)
    assert text.count('<i class="fail"') == 1
    assert "9 of 10 succeeded" in text


def test_an_empty_report_is_still_a_page(tmp_path: Path) -> None:
    assert _Page(_report(tmp_path, summary={}, curves={"none": []})).open == []


def test_values_that_are_not_finite_are_left_out_of_a_chart() -> None:
    chart = charts.line_chart({"a": [(0, 1.0), (1, float("nan")), (2, float("inf")), (3, 2.0)]})
    assert "nan" not in chart
    assert "inf" not in chart
    assert chart.count("<circle") == 2


@pytest.mark.parametrize(
    "points",
    [
        [(5, 1.0)],
        [(0, 0.0), (1, 0.0)],
        [(0, 1e-9), (1, 1e9)],
        [(0, -3.0), (1e7, -2.9999)],
        [(0, 0.5, 0.4, 0.6), (1, 0.6, 0.5, 0.7)],
    ],
)
def test_every_point_of_a_chart_lies_inside_its_axes(points: list[tuple[float, ...]]) -> None:
    chart = charts.line_chart({"a": points})
    for x, y in re.findall(r'cx="([\d.-]+)" cy="([\d.-]+)"', chart):
        assert charts.LEFT <= float(x) <= charts.WIDTH - charts.RIGHT
        assert charts.TOP <= float(y) <= charts.HEIGHT - charts.BOTTOM


def test_a_long_curve_is_thinned_and_keeps_its_spike() -> None:
    points = [(float(i), 0.5) for i in range(100_000)]
    points[77_777] = (77_777.0, 0.9)
    chart = charts.line_chart({"a": points})
    assert len(chart) < 60_000
    assert "0.9" in chart


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 47)])
def test_a_video_comes_back_with_its_frames_and_even_sides(height: int, width: int) -> None:
    import imageio.v3 as iio

    ramp = np.linspace(40, 200, 12).astype(np.uint8)
    frames = np.broadcast_to(ramp[:, None, None, None], (12, height, width, 3))
    mp4 = encode_mp4(np.ascontiguousarray(frames), 10)
    decoded = iio.imread(mp4, plugin="FFMPEG", extension=".mp4")
    assert decoded.shape == (12, height + height % 2, width + width % 2, 3)
    np.testing.assert_allclose(decoded.mean((1, 2, 3)), ramp, atol=4)
    assert mp4.index(b"moov") < mp4.index(b"mdat")


@pytest.mark.parametrize(
    "frames", [np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8, 3)), np.zeros((0, 8, 8, 3), "u1")]
)
def test_frames_of_another_kind_are_refused(frames: np.ndarray) -> None:
    with pytest.raises(ValueError, match="frames must be uint8"):
        encode_mp4(frames, 10)


def test_the_video_in_the_page_is_the_one_given(tmp_path: Path) -> None:
    video = {"title": "Best", "caption": "", "mp4_bytes": b"\x00any bytes"}
    text = _report(tmp_path, videos=[video])
    found = re.search(r"data:video/mp4;base64,([^\"]+)", text)
    assert found is not None
    assert base64.b64decode(found[1]) == b"\x00any bytes"


def test_metrics_are_plain_json(tmp_path: Path) -> None:
    metrics = {"a": np.float32(0.5), "b": np.arange(2), "c": float("nan"), "d": {"e": (True, None)}}
    path = write_metrics(tmp_path / "new" / "metrics.json", metrics)
    assert json.loads(path.read_text()) == {
        "a": 0.5,
        "b": [0, 1],
        "c": None,
        "d": {"e": [True, None]},
    }


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics.json"
    write_atomically(path, "old")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
