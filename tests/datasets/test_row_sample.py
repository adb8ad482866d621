"""A sample of streamed rows: all of them while they fit, then a fair part."""

from __future__ import annotations

import numpy as np

from kinoise.datasets.moments import stream_moments
from kinoise.datasets.row_sample import RowSample


def test_all_rows_are_kept_while_they_fit() -> None:
    sample = RowSample(100)
    rows = np.arange(100)[:, None]
    for block in np.split(rows, 4):
        sample.add(block)
    assert np.array_equal(sample.rows(), rows)


def test_a_long_stream_keeps_a_bounded_and_uniform_part() -> None:
    sample = RowSample(1000)
    for block in np.split(np.arange(100_000)[:, None], 10):
        sample.add(block)
        assert len(sample.rows()) <= 1000
    kept = sample.rows()[:, 0]
    assert len(kept) >= 400
    assert len(set(kept.tolist())) == len(kept)
    # Uniform over the stream: the parts of ten equal stretches.
    parts = np.histogram(kept, 10, (0, 100_000))[0] / len(kept)
    np.testing.assert_allclose(parts, 0.1, atol=0.05)


def test_a_rhythm_of_the_data_does_not_bend_the_sample() -> None:
    sample = RowSample(1000)
    sample.add(np.tile(np.arange(16), 5000)[:, None])
    counts = np.bincount(sample.rows()[:, 0], minlength=16) / len(sample.rows())
    np.testing.assert_allclose(counts, 1 / 16, atol=0.045)


def test_streamed_values_have_the_moments_of_all_together() -> None:
    values = np.random.default_rng(0).normal(size=(300, 4, 2))
    found = stream_moments({"action": block} for block in np.split(values, 3))["action"]
    np.testing.assert_allclose(found["mean"], values.mean(0))
    np.testing.assert_allclose(found["std"], values.std(0))
    np.testing.assert_allclose(found["q99"], np.quantile(values, 0.99, axis=0))
    assert np.array_equal(found["min"], values.min(0))
