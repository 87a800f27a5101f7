# SPDX-License-Identifier: Apache-2.0
"""Files, valid and broken, for the comparison with the format's reference (reference_test.py)."""

import json
import struct

import numpy
import safetensors.numpy

DTYPE_BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}
RANDOM_MUTATIONS = 3000


def file_of(header, data=b"", length=None):
    """Returns the bytes of a file with this header, which is JSON text or bytes."""
    header = header if isinstance(header, bytes) else header.encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(name, dtype="U8", shape=(1,), begin=0, end=1, more=""):
    """Returns one entry of a header. The name is the JSON text between the quotes."""
    return '"%s":{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]%s}' % (
        name, dtype, json.dumps(list(shape)), begin, end, more)


def one(*args, **kwargs):
    """Returns a file with one tensor of one byte."""
    return file_of("{%s}" % entry(*args, **kwargs), b"x")


def with_value(field, value, data=b"x"):
    """Returns a file with one tensor, one of whose fields has this value, given as JSON text."""
    fields = {"dtype": '"U8"', "shape": "[1]", "data_offsets": "[0,1]"}
    fields[field] = value
    return file_of('{"a":{%s}}' % ",".join('"%s":%s' % f for f in fields.items()), data)


def agreed_cases():
    """Yields (name, bytes) of files on which both must agree."""
    ok = file_of("{%s}" % entry("a"), b"x")
    for size in range(len(ok)):
        yield "cut_%d" % size, ok[:size]
    for name, text in {
        "object": "{}", "space_before": " {}", "newline_before": "\n\r\t{}", "space_after": "{} \n", "empty": "",
        "array": "[]", "null": "null", "string": '"{}"', "two_objects": "{}{}", "open": "{", "close": "}",
        "comma": "{},", "trailing_comma": '{"__metadata__":{},}', "form_feed": "\f{}", "comment": "{}//",
        "single_quotes": "{'a':1}", "bare_key": "{a:1}", "null_entry": '{"a":null}', "number_entry": '{"a":1}',
        "empty_entry": '{"a":{}}',
        "meta_null": '{"__metadata__":null}', "meta_empty": '{"__metadata__":{}}',
        "meta_one": '{"__metadata__":{"a":"b"}}', "meta_number": '{"__metadata__":{"a":1}}',
        "meta_null_value": '{"__metadata__":{"a":null}}', "meta_array": '{"__metadata__":[]}',
        "meta_string": '{"__metadata__":"x"}', "meta_nested": '{"__metadata__":{"a":{"b":"c"}}}',
        "meta_twice": '{"__metadata__":{"a":"b"},"__metadata__":{"c":"d"}}',
        "meta_null_twice": '{"__metadata__":null,"__metadata__":null}',
        "meta_escaped": '{"\\u005f_metadata__":{"a":"b"}}', "meta_as_tensor": "{%s}" % entry("__metadata__"),
    }.items():
        yield "json_" + name, file_of(text)
    yield "bom", file_of(b"\xef\xbb\xbf{}")
    yield "nul_after", file_of(b"{}\0")
    yield "nul_before", file_of(b"\0{}")
    yield "utf16", file_of("{}".encode("utf-16"))
    yield "length_short", file_of("{%s}" % entry("a"), b"x", length=10)
    yield "length_long", file_of("{%s}" % entry("a"), b"x", length=1000)
    yield "length_huge", file_of("{%s}" % entry("a"), b"x", length=2**64 - 1)
    yield "length_limit", file_of("{%s}" % entry("a"), b"x", length=100_000_001)

    for label, name in {
        "empty": "", "dots": "../../x", "quote": "\\\"", "escapes": "\\u0061\\n\\/\\b\\f\\r\\t\\\\", "emoji": "🚢",
        "pair": "\\ud83d\\udea2", "rtl": "\u202e", "delete": "\x7f", "control_escaped": "\\u001b",
        "control_raw": "\x01", "newline_raw": "\n", "high_surrogate": "\\ud83d", "low_surrogate": "\\udea2",
        "reversed": "\\udea2\\ud83d", "bad_escape": "\\x61", "short_escape": "\\u61",
    }.items():
        yield "name_" + label, one(name)
    for label, name in {"continuation": b"\x80", "latin": b"\xf6", "overlong": b"\xc0\xaf",
                        "surrogate": b"\xed\xa0\x80", "cut": b"\xe2\x82",
                        "too_large": b"\xf4\x90\x80\x80", "ff": b"\xff"}.items():
        yield "bytes_" + label, one("NAME").replace(b"NAME", name.ljust(4, b"x"))

    for dtype, bits in DTYPE_BITS.items():
        for count in range(5):
            size = bits * count // 8
            yield "dtype_%s_%d" % (dtype, count), file_of("{%s}" % entry("a", dtype, [count], 0, size), b"x" * size)
    for dtype in ["f32", "F128", "", "F32 ", "float32", "F8_E4M3FN", "BFLOAT16"]:
        yield "dtype_unknown_%s" % dtype.strip(), with_value("dtype", json.dumps(dtype), b"x" * 4)
    for label, value in {"null": "null", "number": "1", "array": '["U8"]', "escaped": '"\\u00558"'}.items():
        yield "dtype_" + label, with_value("dtype", value)
    for label, value in {
        "scalar": "[]", "null": "null", "number": "1", "string": '"1"', "object": "{}", "nested": "[[1]]",
        "negative": "[-1]", "negative_zero": "[-0]", "fraction": "[1.0]", "exponent": "[1e0]", "text": '["1"]',
        "true": "[true]", "two": "[2]", "ones": "[1,1,1]", "rank_64": json.dumps([1] * 64),
        "wraps": "[4294967296,4294967296]", "wraps_before_zero": "[4294967296,4294967296,0]",
        "over_uint64": "[18446744073709551617]", "uint64": "[18446744073709551615]",
    }.items():
        yield "shape_" + label, with_value("shape", value)
    yield "shape_bits_wrap", with_value("shape", "[2305843009213693952]")
    for label, value in {
        "null": "null", "number": "1", "none": "[]", "one": "[1]", "three": "[0,1,1]", "nested": "[[0,1]]",
        "object": '{"0":0,"1":1}', "fraction": "[0,1.0]", "exponent": "[0,1e0]", "text": '["0",1]',
        "negative": "[-1,0]", "reversed": "[1,0]", "over_int64": "[9223372036854775808,9223372036854775809]",
        "over_uint64": "[0,18446744073709551617]", "wraps": "[18446744073709551615,0]", "far": "[64,65]",
    }.items():
        yield "offsets_" + label, with_value("data_offsets", value)
    yield "zero_size", with_value("shape", "[0]").replace(b"[0,1]", b"[0,0]")[:-1]

    u8 = lambda name, begin, end: entry(name, "U8", [end - begin], begin, end)
    for label, (entries, size) in {
        "two": ([u8("a", 0, 2), u8("b", 2, 5)], 5), "any_order": ([u8("b", 2, 5), u8("a", 0, 2)], 5),
        "unaligned": ([u8("a", 0, 1), entry("b", "F64", [1], 1, 9)], 9), "no_tensors": ([], 1),
        "after": ([u8("a", 0, 2)], 3), "cut": ([u8("a", 0, 2)], 1), "hole_first": ([u8("a", 1, 2)], 2),
        "hole": ([u8("a", 0, 2), u8("b", 3, 5)], 5), "overlap": ([u8("a", 0, 2), u8("b", 1, 3)], 3),
        "same_bytes": ([u8("a", 0, 2), u8("b", 0, 2)], 2), "inside": ([u8("a", 0, 4), u8("b", 1, 2)], 4),
        "empty_first": ([u8("z", 0, 0), u8("a", 0, 2)], 2), "empty_between": ([u8("a", 0, 1), u8("z", 1, 1),
                                                                              u8("b", 1, 2)], 2),
        "empty_last": ([u8("a", 0, 2), u8("z", 2, 2)], 2), "empty_inside": ([u8("a", 0, 4), u8("z", 2, 2)], 4),
        "empty_after": ([u8("a", 0, 1), u8("z", 2, 2)], 1), "many_empty": ([u8("a", 0, 0), u8("b", 0, 0)], 0),
    }.items():
        yield "layout_" + label, file_of("{%s}" % ",".join(entries), b"x" * size)

    for label, more in {
        "number": ',"x":1', "nested": ',"x":[1,{"dtype":null}],"y":{}', "all": ',"a":null,"b":true,"c":-1.5e3,"d":""',
        "large": ',"x":123456789012345678901234567890', "out_of_range": ',"x":1e999', "nan": ',"x":NaN',
        "low_surrogate": ',"x":"\\udea2"', "high_surrogate": ',"x":"\\ud83d"', "surrogate_name": ',"\\udea2":1',
        "same_nested": ',"x":{"y":1,"y":2}', "leading_zero": ',"x":01', "deep": ',"x":' + "[" * 50 + "]" * 50,
        "too_deep": ',"x":' + "[" * 500 + "]" * 500, "dtype_twice": ',"dtype":"U8"', "shape_twice": ',"shape":[1]',
        "offsets_twice": ',"data_offsets":[0,1]', "tiny": ',"x":1e-999',
    }.items():
        yield "more_" + label, one("a", more=more)
    for missing in ["dtype", "shape", "data_offsets"]:
        yield "no_" + missing, one("a").replace(b'"%s"' % missing.encode(), b'"%s"' % (b"x" * len(missing)))


def stricter_cases():
    """Yields (name, bytes) of files that the reference accepts and we refuse, as lib/safetensors/README.md lists them."""
    a = entry("a")
    yield "name_twice", file_of("{%s,%s}" % (a, a), b"x")
    yield "name_twice_in_other_spelling", file_of("{%s,%s}" % (a, entry("\\u0061")), b"x")
    yield "metadata_key_twice", file_of('{"__metadata__":{"a":"b","a":"c"}}')
    yield "unknown_field_twice", one("a", more=',"x":1,"x":1')
    yield "nul_in_name", one("\\u0000")
    yield "nul_in_metadata_key", file_of('{"__metadata__":{"\\u0000":"b"}}')
    yield "nul_in_metadata_value", file_of('{"__metadata__":{"a":"\\u0000"}}')
    yield "entry_as_array", file_of('{"a":["U8",[1],[0,1]]}', b"x")
    yield "dtype_as_object", with_value("dtype", '{"U8":null}')
    yield "dimension_over_int64", with_value("shape", "[0,9223372036854775808]").replace(b"[0,1]", b"[0,0]")[:-1]
    yield "rank_65", with_value("shape", json.dumps([1] * 65))
    yield "name_of_4097_bytes", one("n" * 4097)
    yield "nesting_of_65", one("a", more=',"x":' + "[" * 63 + "]" * 63)


def written_by_the_reference():
    """Yields (name, bytes) of files that the reference itself writes."""
    tensors = {}
    for dtype in ["bool", "u1", "i1", "i2", "u2", "f2", "i4", "u4", "f4", "f8", "i8", "u8", "c8"]:
        for shape in [(), (0,), (3,), (2, 5), (2, 0, 3), (1, 1, 1, 7)]:
            tensors["%s.%s" % (dtype, "x".join(map(str, shape)))] = numpy.zeros(shape, dtype)
    yield "numpy_all", safetensors.numpy.save(tensors)
    yield "numpy_metadata", safetensors.numpy.save(tensors, metadata={"format": "np", "é\n\"": "", "": "x"})
    yield "numpy_none", safetensors.numpy.save({})
    yield "numpy_names", safetensors.numpy.save({name: numpy.zeros(1) for name in ["", "../x", "é", "a\nb", "🚢", "\""]})
    for i, name in enumerate(sorted(tensors)):
        if i % 5 == 0:
            yield "numpy_one_%d" % i, safetensors.numpy.save({name: tensors[name]})


def mutations(rng, seeds):
    """Yields (name, bytes) of valid files with a few bytes of their headers changed."""
    pieces = [b"0", b"1", b"2", b"-1", b"1.0", b"null", b"[]", b"{}", b'"', b",", b":", b"[", b"]", b"{", b"}", b" ",
              b"\\", b"\\u0061", b"\xff", b"\xc3\xa9", b"18446744073709551616", b'"F4"', b'"U8"',
              b'"__metadata__":null,']
    for i in range(RANDOM_MUTATIONS):
        seed = rng.choice(seeds)
        size = struct.unpack("<Q", seed[:8])[0]
        header, data = bytearray(seed[8:8 + size]), seed[8 + size:]
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(header) + 1)
            action = rng.randrange(4)
            if action == 0 and at < len(header):
                header[at] ^= 1 << rng.randrange(8)
            elif action == 1:
                header[at:at + rng.randrange(4)] = rng.choice(pieces)
            elif action == 2:
                del header[at:at + rng.randrange(4)]
            else:
                begin = rng.randrange(len(header) + 1)
                header[at:at] = header[begin:begin + rng.randrange(12)]
        if rng.randrange(8) == 0:
            data = data[:-1] if rng.randrange(2) else data + b"x"
        yield "mutation_%04d" % i, file_of(bytes(header), data)
