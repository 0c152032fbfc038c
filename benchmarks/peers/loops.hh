// SPDX-License-Identifier: MIT
// The rows that are one loop, for a program in C++ with a function
// loop(n, item, op): item(i) of all i < n, put together by op. Included where
// that stands, in the program's namespace.

uint64_t for_even(uint64_t n)
{
    auto item = [](uint64_t i) { return loop_even(i); };

    return loop(n, item, std::bit_xor<uint64_t>()) >> 1;
}

uint64_t for_skewed(uint64_t n)
{
    auto item = [n](uint64_t i) { return loop_skewed(i, n); };

    return loop(n, item, std::bit_xor<uint64_t>()) >> 1;
}

uint64_t for_fine(uint64_t n)
{
    auto item = [](uint64_t i) { return loop_fine(i); };

    return loop(n, item, std::bit_xor<uint64_t>()) >> 1;
}

uint64_t reduce(uint64_t n)
{
    auto item = [](uint64_t i) { return mix(i) >> 8; };

    return loop(n, item, std::plus<uint64_t>()) << 1 >> 1;
}
