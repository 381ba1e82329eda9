from __future__ import annotations

import pytest
import torch

from playground_ext.errors import AggregationError
from playground_ext.fed_avg import Update, weighted_average


def update(party: str, samples: int, **state: torch.Tensor) -> Update:
    return Update(party, samples, dict(state))


def test_each_party_counts_by_its_samples() -> None:
    # by hand: (1 * 10 + 3 * 20) / 4 = 17.5; (1 * 0 + 3 * 4) / 4 = 3
    mean = weighted_average([update("a", 1, w=torch.tensor([10.0, 0.0])), update("b", 3, w=torch.tensor([20.0, 4.0]))])

    assert mean["w"].tolist() == [17.5, 3.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64])
def test_one_update_comes_back_bit_for_bit(dtype: torch.dtype) -> None:
    tensor = torch.randn(1000, generator=torch.Generator().manual_seed(0)).to(dtype)
    tensor[0] = -0.0

    mean = weighted_average([update("a", 7, w=tensor)])["w"]

    assert mean.dtype == dtype
    assert torch.equal(mean.view(torch.uint8), tensor.view(torch.uint8))
    assert mean.data_ptr() != tensor.data_ptr()


def test_equal_updates_of_many_parties_average_to_themselves() -> None:
    tensor = torch.randn(1000, generator=torch.Generator().manual_seed(1))
    mean = weighted_average([update(f"p{n}", n, w=tensor) for n in range(1, 50)])["w"]

    assert torch.equal(mean, tensor)  # double precision rounds back to the same float


def test_integer_buffers_have_no_mean_and_are_the_first_partys() -> None:
    mean = weighted_average(
        [
            update("a", 1, count=torch.tensor(3), flag=torch.tensor(True)),
            update("b", 99, count=torch.tensor(8), flag=torch.tensor(False)),
        ]
    )

    assert (mean["count"].item(), mean["flag"].item()) == (3, True)


def test_a_party_without_samples_does_not_count() -> None:
    mean = weighted_average([update("a", 0, w=torch.ones(2)), update("b", 5, w=torch.zeros(2))])

    assert mean["w"].tolist() == [0.0, 0.0]


def test_no_samples_at_all_is_an_error_that_names_the_parties() -> None:
    with pytest.raises(AggregationError, match="the updates of a, b hold no samples"):
        weighted_average([update("a", 0, w=torch.ones(1)), update("b", 0, w=torch.ones(1))])
    with pytest.raises(AggregationError, match="no updates"):
        weighted_average([])


def test_different_layers_are_named() -> None:
    with pytest.raises(AggregationError, match=r"a and b sent different models: .*w"):
        weighted_average([update("a", 1, w=torch.ones(2)), update("b", 1, w=torch.ones(3))])
