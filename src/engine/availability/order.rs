//! Stable sorts by an integer key, in time proportional to the number of values.
//!
//! Invariant: values with equal keys keep their order.

/// Fewer values than this, and values that are sorted already, are sorted by comparison: clearing counters would cost
/// more.
const COUNTED_MIN: usize = 256;
/// From this many values on, wider digits are worth their larger counters.
const WIDE_MIN: usize = 1 << 14;

/// Sorts all values by `number`, lowest first. Values are partitioned by the highest digit, then each part is sorted
/// while it is in the cache. Each value is stored once.
pub(super) fn sorted_by_number<T: Copy>(
    values: impl Iterator<Item = T> + Clone,
    number: impl Fn(&T) -> u64 + Copy,
) -> Vec<T> {
    const PARTS_BITS: u32 = 11;
    let numbers = values.clone().map(|value| number(&value));
    let (count, low, high) =
        numbers.fold((0, u64::MAX, 0), |(count, low, high), number| (count + 1, low.min(number), high.max(number)));
    let mut spare = Vec::new();
    let Some(first) = values.clone().next() else { return Vec::new() };
    if count < WIDE_MIN {
        let mut sorted: Vec<T> = values.collect();
        sort_by_number(&mut sorted, &mut spare, number);
        return sorted;
    }
    let shift = (u64::BITS - (high - low).leading_zeros()).saturating_sub(PARTS_BITS);
    let part = |value: &T| ((number(value) - low) >> shift) as usize;
    let mut ends = vec![0_usize; 1 << PARTS_BITS];
    let mut sorted = vec![first; count];
    scatter(values, part, &mut ends, &mut sorted);
    let (mut begin, mut work) = (0, Vec::new());
    for end in ends {
        work.clear();
        work.extend_from_slice(&sorted[begin..end]);
        sort_by_number(&mut work, &mut spare, number);
        sorted[begin..end].copy_from_slice(&work);
        begin = end;
    }
    sorted
}

/// Sorts by `number`, lowest first, digit by digit from the lowest (least significant digit radix sort). `spare` is a
/// scratch buffer that callers reuse between calls.
pub(super) fn sort_by_number<T: Copy>(values: &mut Vec<T>, spare: &mut Vec<T>, number: impl Fn(&T) -> u64) {
    if values.len() < COUNTED_MIN || values.is_sorted_by_key(&number) {
        values.sort_by_key(number);
        return;
    }
    let numbers = values.iter().map(&number);
    let (low, high) = numbers.fold((u64::MAX, 0), |(low, high), number| (low.min(number), high.max(number)));
    let digit_bits = if values.len() < WIDE_MIN { 8 } else { 11 };
    let mask = (1_u64 << digit_bits) - 1;
    let bits = u64::BITS - (high - low).leading_zeros();
    spare.clear();
    spare.resize(values.len(), values[0]);
    let mut places = vec![0_usize; 1 << digit_bits];
    for shift in (0..bits).step_by(digit_bits) {
        let digit = |value: &T| ((number(value) - low) >> shift & mask) as usize;
        places.fill(0);
        scatter(values.iter().copied(), digit, &mut places, spare);
        std::mem::swap(values, spare);
    }
}

/// Scatters values into `out` by their digit, stably. `places` has one counter per digit; they must be 0 and become the
/// ends of the digits.
fn scatter<T: Copy>(
    values: impl Iterator<Item = T> + Clone,
    digit: impl Fn(&T) -> usize,
    places: &mut [usize],
    out: &mut [T],
) {
    for value in values.clone() {
        places[digit(&value)] += 1;
    }
    let mut before = 0;
    for place in places.iter_mut() {
        before += std::mem::replace(place, before);
    }
    for value in values {
        let place = &mut places[digit(&value)];
        out[*place] = value;
        *place += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// The order equals that of a stable sort by comparison, for any length and range.
        #[test]
        fn the_order_is_that_of_a_stable_sort(
            count in prop_oneof![0..600_usize, 16_000..17_000_usize],
            seed in any::<u64>(),
            bits in 0..64_u32,
            low in any::<u64>(),
        ) {
            let mut state = seed;
            let mut values: Vec<(u64, usize)> = (0..count)
                .map(|index| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (low.saturating_add(state >> (63 - bits)), index)
                })
                .collect();
            let mut expected = values.clone();
            expected.sort_by_key(|value| value.0);
            prop_assert_eq!(&sorted_by_number(values.iter().copied(), |value| value.0), &expected);
            sort_by_number(&mut values, &mut Vec::new(), |value| value.0);
            prop_assert_eq!(values, expected);
        }
    }
}
