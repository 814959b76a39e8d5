"""Price lists as text."""

from __future__ import annotations

import pytest

from tunekit.errors import RecipeError
from tunekit.prices.lists import OWN, read_price_list
from tunekit.prices.offers import Offer
from tunekit.units import GIB

HEAD = "provider,gpu,gpus,price_total_usd_h,price_per_gpu_usd_h,spot_total_usd_h,source,commit,data_date,notes\n"
SKY = "InstanceType,vCPUs,MemoryGiB,AcceleratorName,AcceleratorCount,GpuInfo,Region,AvailabilityZone,Price,SpotPrice\n"


def read(text: str) -> tuple[Offer, ...]:
    return read_price_list(text, file="p.csv", provider="aws", date="2026-11-01")


def said(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        read(text)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_tunekits_own_columns() -> None:
    assert read(HEAD + 'Vast,RTX 4090,2,0.8,0.4,0.3,a list,a5be538,2026-07,"a, note"\n') == (
        Offer(
            provider="Vast",
            gpu="RTX 4090",
            count=2,
            on_demand=0.8,
            spot=0.3,
            source="a list",
            date="2026-07",
            note="a, note",
        ),
    )


def test_a_spot_price_that_repeats_the_other_is_none() -> None:
    (found,) = read(HEAD + "RunPod,A100-80,1,1.39,1.39,1.39,s,c,,\n")
    assert (found.on_demand, found.spot) == (1.39, None)


def test_spot_alone() -> None:
    (found,) = read(HEAD + "Verda,H100,1,,,0.8,s,c,,\n")
    assert (found.on_demand, found.spot) == (None, 0.8)


def test_columns_in_another_order_and_without_the_optional_ones() -> None:
    text = "gpu,provider,gpus,price_total_usd_h,source,data_date\nH100,me,1,2.0,mine,2026-11-01\n"
    assert read("\ufeff" + text)[0].provider == "me"


def test_skypilots_columns_are_one_offer_per_machine() -> None:
    text = (
        SKY
        + "p4d,96,1152,A100,8,\"{'a': 1}\",us-east-1,a,22.0,9.0\n"
        + "p4d,96,1152,A100,8,,eu-north-1,b,21.0,\n"
        + "p4d,96,1152,A100,8,,us-east-2,c,23.0,2.5\n"
        + "m5.large,2,8,,,,us-east-1,a,0.1,0.05\n"
        + "NV6,6,55,A10,0.1667,,eastus,,0.5,\n"
        + "gone,8,60,H100,1,,x,,,\n"
    )
    assert read(text) == (
        Offer(
            provider="aws",
            gpu="A100",
            count=8,
            on_demand=21.0,
            spot=2.5,
            source="p.csv",
            date="2026-11-01",
            machine="p4d",
            region="eu-north-1",
            cores=48,
            ram_bytes=1152 * GIB,
        ),
    )


def test_skypilot_rows_without_price_but_with_spot() -> None:
    (found,) = read("InstanceType,AcceleratorName,AcceleratorCount,Price,SpotPrice\nv,H200,2.0,,2.4\n")
    assert (found.on_demand, found.spot, found.count, found.cores, found.ram_bytes) == (None, 2.4, 2, None, None)


def test_every_bad_cell_with_file_line_and_column() -> None:
    text = HEAD + "Vast,H100,1,cheap,,,s,c,,\nVast,,one,2,,,s,c,,\nVast,H100,1,,,,s,c,,\nVast,H100,1,-2,,nan,s,c,,\n"
    lines = said(text).splitlines()
    assert lines[0] == "p.csv:2: price_total_usd_h: found 'cheap'; a number above 0, or nothing"
    assert "p.csv:3: gpu: empty; text" in lines
    assert "p.csv:3: gpus: found 'one'; a whole number, 1 or more" in lines
    assert any(line.startswith("p.csv:4: price_total_usd_h: no price on demand and none for spot") for line in lines)
    assert "p.csv:5: spot_total_usd_h: found 'nan'; a number above 0, or nothing" in lines


def test_a_bad_price_of_skypilot() -> None:
    assert "p.csv:2: Price: found 'n/a'" in said(SKY + "x,1,1,H100,1,,r,z,n/a,\n")


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "hello"])
def test_a_file_that_is_no_price_list(text: str) -> None:
    found = said(text)
    assert found.startswith("p.csv:1: no column provider, gpu, gpus")
    assert "AcceleratorName" in found
    assert set(OWN) <= set(found.replace(";", " ").replace(",", " ").split())
