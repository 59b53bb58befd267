import pytest

from rotgrid.cost import processor


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16 avx2\n", True),
        ("flags\t\t: fpu amx_tile amx_bf16\n", True),
        ("flags\t\t: fpu avx512f avx512_vnni\nflags\t\t: fpu avx512f avx512_vnni\n", False),
        ("Features\t: fp asimd bf16\n", True),
        ("Features\t: fp asimd\n", False),
        ("vendor_id\t: avx512_bf16\n", True),  # of a kind that is not known
    ],
)
def test_whether_there_are_instructions_for_bfloat16(tmp_path, monkeypatch, text, there):
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    assert processor.has_bfloat16()  # not Linux
    processor.CPUINFO.write_text(text)
    assert processor.has_bfloat16() is there
