//! Error-free sums of doubles.
//!
//! A sparse superaccumulator (after R. Neal, "Fast exact summation using small and large superaccumulators",
//! arXiv 1505.05571): the sum is an integer in units of 2^-1074, cut into signed chunks that stand 32 bits apart
//! and carry lazily. Only the chunks between the smallest and the largest exponent seen are held.
//!
//! Invariants
//! * `add`, `merge` and `subtract` lose nothing, so any order and any retraction give the same value.
//! * `round` rounds once, half to even; a zero is +0.0; NaN and infinities are counted, hence retractable.
//! * Equal sums have equal bytes.
//!
//! Not here: the aggregate functions (`exact::functions`).

/// Additions of one chunk-sized value before the chunks must carry: |chunk| < 2^32 * 2^30.
const PENDING_MAX: u32 = 1 << 30;
const INFINITY_BITS: u64 = 0x7ff << 52;
/// 2^-1074 .. 2^1024 and 64 bits of head room, in bytes.
const BYTES_MAX: usize = 280;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Special {
    nan: i64,
    positive: i64,
    negative: i64,
}

/// A sum of doubles without error.
#[derive(Debug, Clone, Default)]
pub struct ExactSum {
    /// Index of the lowest chunk held; chunk `i` weighs 2^(32 i - 1074).
    low: u16,
    chunks: Vec<i64>,
    /// Bound of every |chunk| in units of 2^32.
    pending: u32,
    special: Option<Box<Special>>,
}

/// Bytes that are not an exact sum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stored state of a float sum is damaged")]
pub struct DamagedSum;

impl ExactSum {
    /// Adds one value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        self.accumulate(value, 1);
    }

    /// Takes one value back.
    #[inline]
    pub fn remove(&mut self, value: f64) {
        self.accumulate(value, -1);
    }

    #[inline]
    fn accumulate(&mut self, value: f64, weight: i64) {
        let bits = value.to_bits();
        let exponent = ((bits >> 52) & 0x7ff) as usize;
        let fraction = bits & ((1 << 52) - 1);
        if exponent == 0x7ff {
            self.add_special(fraction != 0, bits >> 63 == 1, weight);
            return;
        }
        let (mantissa, place) = if exponent == 0 { (fraction, 0) } else { (fraction | 1 << 52, exponent - 1) };
        if mantissa == 0 {
            return;
        }
        let at = place >> 5;
        let wide = u128::from(mantissa) << (place & 31);
        let sign = if bits >> 63 == 1 { -weight } else { weight };
        let first = self.hold(at, at + 3);
        let mut rest = wide;
        for chunk in &mut self.chunks[first..first + 3] {
            *chunk += sign * i64::from(rest as u32);
            rest >>= 32;
        }
        self.pending += 1;
        if self.pending >= PENDING_MAX {
            self.carry();
        }
    }

    fn add_special(&mut self, nan: bool, negative: bool, weight: i64) {
        let special = self.special.get_or_insert_default();
        let count = match (nan, negative) {
            (true, _) => &mut special.nan,
            (false, false) => &mut special.positive,
            (false, true) => &mut special.negative,
        };
        *count += weight;
        if *special.as_ref() == Special::default() {
            self.special = None;
        }
    }

    /// Makes chunks `from..to` present; returns the position of `from`.
    #[inline]
    fn hold(&mut self, from: usize, to: usize) -> usize {
        if self.chunks.is_empty() {
            self.low = from as u16;
        }
        let low = usize::from(self.low);
        if from < low {
            self.chunks.splice(0..0, std::iter::repeat_n(0, low - from));
            self.low = from as u16;
        }
        let low = usize::from(self.low);
        if to - low > self.chunks.len() {
            self.chunks.resize(to - low, 0);
        }
        from - low
    }

    fn carry(&mut self) {
        propagate(&mut self.chunks);
        self.pending = 1;
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &ExactSum) {
        self.combine(other, 1);
    }

    /// Takes another sum away.
    pub(crate) fn subtract(&mut self, other: &ExactSum) {
        self.combine(other, -1);
    }

    fn combine(&mut self, other: &ExactSum, weight: i64) {
        if let Some(s) = &other.special {
            let mine = self.special.get_or_insert_default();
            mine.nan += weight * s.nan;
            mine.positive += weight * s.positive;
            mine.negative += weight * s.negative;
            if *mine.as_ref() == Special::default() {
                self.special = None;
            }
        }
        if other.chunks.is_empty() {
            return;
        }
        let mut carried = other.chunks.clone();
        propagate(&mut carried);
        if self.pending + 1 >= PENDING_MAX {
            self.carry();
        }
        let low = usize::from(other.low);
        let first = self.hold(low, low + carried.len());
        for (mine, theirs) in self.chunks[first..].iter_mut().zip(&carried) {
            *mine += weight * theirs;
        }
        self.pending += 1;
    }

    /// Sign and magnitude: digits of 32 bits, least first, digit `i` weighing 2^(32 (low + i) - 1074).
    fn digits(&self) -> (bool, Vec<u32>) {
        let mut chunks = self.chunks.clone();
        propagate(&mut chunks);
        let negative = chunks.last().is_some_and(|c| *c < 0);
        if negative {
            chunks.iter_mut().for_each(|c| *c = -*c);
            propagate(&mut chunks);
        }
        let mut digits: Vec<u32> = chunks.iter().map(|c| *c as u32).collect();
        while digits.last() == Some(&0) {
            digits.pop();
        }
        (negative && !digits.is_empty(), digits)
    }

    /// The sum as a double, rounded once, half to even.
    pub fn round(&self) -> f64 {
        if let Some(s) = &self.special {
            return match (s.nan != 0, s.positive != 0, s.negative != 0) {
                (false, true, false) => f64::INFINITY,
                (false, false, true) => f64::NEG_INFINITY,
                _ => f64::NAN,
            };
        }
        let (negative, digits) = self.digits();
        let Some(last) = digits.last() else { return 0.0 };
        let low = usize::from(self.low) * 32;
        let top = low + digits.len() * 32 - 1 - last.leading_zeros() as usize;
        let bit = |at: usize| at >= low && digits[(at - low) / 32] >> ((at - low) % 32) & 1 == 1;
        let shift = top.saturating_sub(52);
        let mut mantissa = 0u64;
        for at in (shift..=top).rev() {
            mantissa = mantissa << 1 | u64::from(bit(at));
        }
        let half = shift > 0 && bit(shift - 1);
        let below = half && (low..shift - 1).any(bit);
        let up = half && (below || mantissa & 1 == 1);
        // The mantissa's leading bit adds one to the exponent field, a carry out of it one more.
        let bits = (((shift as u64) << 52) + mantissa + u64::from(up)).min(INFINITY_BITS);
        f64::from_bits(bits | u64::from(negative) << 63)
    }

    /// The average of so many values. The sum alone may leave the range of doubles.
    pub fn average(&self, count: i64) -> f64 {
        let (sum, count) = (self.round(), count as f64);
        if sum.is_finite() || self.special.is_some() {
            return sum / count;
        }
        // 2^64 times smaller: the digits move by two places, and those that fall off are too small to matter.
        let mut smaller = self.clone();
        match smaller.low.checked_sub(2) {
            Some(low) => smaller.low = low,
            None => {
                let gone = usize::from(2 - smaller.low).min(smaller.chunks.len());
                propagate(&mut smaller.chunks);
                smaller.chunks.drain(..gone);
                smaller.low = 0;
            }
        }
        smaller.round() / count * 2f64.powi(64)
    }

    /// Doubles, largest first, whose exact sum this is; none for zero, nor for what is not finite.
    pub(crate) fn terms(&self) -> Vec<f64> {
        let (mut rest, mut terms) = (self.clone(), Vec::new());
        loop {
            let term = rest.round();
            if term == 0.0 || !term.is_finite() {
                return terms;
            }
            terms.push(term);
            rest.remove(term);
        }
    }

    /// Canonical bytes: a flag byte, the counts of NaN and infinities if any, the place of the first byte that is
    /// not zero and the magnitude's bytes from there, least first.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let (negative, digits) = self.digits();
        let mut out = vec![u8::from(negative) | u8::from(self.special.is_some()) << 1];
        if let Some(s) = &self.special {
            for count in [s.nan, s.positive, s.negative] {
                out.extend_from_slice(&count.to_le_bytes());
            }
        }
        let magnitude: Vec<u8> = digits.iter().flat_map(|d| d.to_le_bytes()).collect();
        if let Some(start) = magnitude.iter().position(|b| *b != 0) {
            let end = magnitude.iter().rposition(|b| *b != 0).map_or(0, |p| p + 1);
            let place = usize::from(self.low) * 4 + start;
            out.extend_from_slice(&(place as u16).to_le_bytes());
            out.extend_from_slice(&magnitude[start..end]);
        }
        out
    }

    /// Reads what `to_bytes` wrote.
    ///
    /// # Errors
    /// Bytes that `to_bytes` never writes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DamagedSum> {
        let (&flags, mut rest) = bytes.split_first().ok_or(DamagedSum)?;
        if flags > 3 {
            return Err(DamagedSum);
        }
        let mut sum = ExactSum::default();
        if flags & 2 != 0 {
            let mut counts = [0i64; 3];
            for count in &mut counts {
                let (head, tail) = rest.split_first_chunk::<8>().ok_or(DamagedSum)?;
                *count = i64::from_le_bytes(*head);
                rest = tail;
            }
            let [nan, positive, negative] = counts;
            sum.special = Some(Box::new(Special { nan, positive, negative }));
        }
        if rest.is_empty() {
            return Ok(sum);
        }
        let (head, magnitude) = rest.split_first_chunk::<2>().ok_or(DamagedSum)?;
        let place = usize::from(u16::from_le_bytes(*head));
        if magnitude.is_empty() || place + magnitude.len() > BYTES_MAX {
            return Err(DamagedSum);
        }
        let sign = if flags & 1 == 1 { -1 } else { 1 };
        let (from, to) = (place / 4, (place + magnitude.len()).div_ceil(4));
        sum.hold(from, to);
        for (i, byte) in magnitude.iter().enumerate() {
            let at = place + i;
            sum.chunks[at / 4 - from] += sign * (i64::from(*byte) << (at % 4 * 8));
        }
        sum.pending = 1;
        Ok(sum)
    }

    /// Bytes on the heap, for memory accounting.
    pub(crate) fn heap_size(&self) -> usize {
        self.chunks.capacity() * 8 + self.special.as_ref().map_or(0, |_| size_of::<Special>())
    }
}

impl PartialEq for ExactSum {
    fn eq(&self, other: &Self) -> bool {
        self.to_bytes() == other.to_bytes()
    }
}

/// Carries upward: all chunks but the last end in 0..2^32, the last one holds the sign and is below 2^31 in size.
fn propagate(chunks: &mut Vec<i64>) {
    let mut carry = 0;
    let Some((last, lower)) = chunks.split_last_mut() else { return };
    for chunk in lower {
        let sum = *chunk + carry;
        *chunk = sum & 0xffff_ffff;
        carry = sum >> 32;
    }
    *last += carry;
    while let Some(top) = chunks.last_mut() {
        if i32::try_from(*top).is_ok() {
            break;
        }
        let carry = *top >> 32;
        *top &= 0xffff_ffff;
        chunks.push(carry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A slow, obviously right reference: one fixed-point integer of 2,304 bits in two's complement.
    #[derive(Clone, PartialEq, Debug)]
    struct Reference([u64; 36]);

    impl Reference {
        fn of(value: f64) -> Self {
            let bits = value.to_bits();
            let exponent = (bits >> 52 & 0x7ff) as usize;
            let fraction = bits & ((1 << 52) - 1);
            let (m, e) = if exponent == 0 { (fraction, 0) } else { (fraction | 1 << 52, exponent - 1) };
            let mut words = [0u64; 36];
            for i in 0..53 {
                if m >> i & 1 == 1 {
                    words[(e + i) / 64] |= 1 << ((e + i) % 64);
                }
            }
            let r = Reference(words);
            if bits >> 63 == 1 { r.negated() } else { r }
        }
        fn negated(&self) -> Self {
            Reference(self.0.map(|w| !w)).plus(&Reference(std::array::from_fn(|i| u64::from(i == 0))))
        }
        fn plus(&self, other: &Self) -> Self {
            let mut carry = 0u128;
            Reference(std::array::from_fn(|i| {
                let sum = u128::from(self.0[i]) + u128::from(other.0[i]) + carry;
                carry = sum >> 64;
                sum as u64
            }))
        }
        fn is_negative(&self) -> bool {
            self.0[35] >> 63 == 1
        }
        /// Finds the nearest double by bisection over the ordered non-negative doubles.
        fn round(&self) -> f64 {
            let magnitude = if self.is_negative() { self.negated() } else { self.clone() };
            let below = |bits: u64| !magnitude.plus(&Reference::of(f64::from_bits(bits)).negated()).is_negative();
            let (mut low, mut high) = (0u64, INFINITY_BITS);
            while high - low > 1 {
                let middle = (low + high) / 2;
                if below(middle) { low = middle } else { high = middle }
            }
            let step = if high == INFINITY_BITS {
                let mut words = [0u64; 36];
                words[2098 / 64] = 1 << (2098 % 64);
                Reference(words)
            } else {
                Reference::of(f64::from_bits(high))
            };
            let to_low = magnitude.plus(&Reference::of(f64::from_bits(low)).negated());
            let to_high = step.plus(&magnitude.negated());
            let difference = to_low.plus(&to_high.negated());
            let tie = difference.0.iter().all(|w| *w == 0);
            let bits = if tie {
                if low & 1 == 0 { low } else { high }
            } else if difference.is_negative() {
                low
            } else {
                high
            };
            let value = f64::from_bits(bits);
            if self.is_negative() && value != 0.0 { -value } else { value }
        }
    }

    fn any_finite() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<f64>().prop_filter("finite", |x| x.is_finite()),
            (-1000i64..1000).prop_map(|x| x as f64 / 8.0),
            Just(-0.0),
            Just(f64::MAX),
            Just(-f64::MAX),
            Just(f64::MIN_POSITIVE),
            Just(f64::from_bits(1)),
            (0u64..8, 0u32..54).prop_map(|(m, s)| m as f64 * 2f64.powi(s as i32)),
        ]
    }

    proptest! {
        #[test]
        fn equals_the_reference_in_any_order_and_after_retraction(
            kept in prop::collection::vec(any_finite(), 0..24), gone in prop::collection::vec(any_finite(), 0..12), cut in 0usize..24)
        {
            let mut reference = Reference([0; 36]);
            kept.iter().for_each(|x| reference = reference.plus(&Reference::of(*x)));
            let mut forward = ExactSum::default();
            kept.iter().for_each(|x| forward.add(*x));
            prop_assert_eq!(forward.round().to_bits(), reference.round().to_bits());

            let (mut left, mut right, mut taken) = (ExactSum::default(), ExactSum::default(), ExactSum::default());
            gone.iter().for_each(|x| { left.add(*x); taken.add(*x) });
            kept.iter().rev().enumerate().for_each(|(i, x)| if i < cut { left.add(*x) } else { right.add(*x) });
            let mut merged = ExactSum::from_bytes(&left.to_bytes()).unwrap();
            merged.merge(&right);
            merged.subtract(&ExactSum::from_bytes(&taken.to_bytes()).unwrap());
            prop_assert_eq!(merged.to_bytes(), forward.to_bytes());
            prop_assert_eq!(merged.round().to_bits(), forward.round().to_bits());
        }
    }

    #[test]
    fn special_values_are_counted() {
        let mut s = ExactSum::default();
        [1.5, f64::INFINITY, f64::NAN, f64::NEG_INFINITY].iter().for_each(|x| s.add(*x));
        assert!(s.round().is_nan());
        s.remove(f64::NAN);
        assert!(s.round().is_nan());
        s.remove(f64::NEG_INFINITY);
        assert_eq!(s.round(), f64::INFINITY);
        let mut s = ExactSum::from_bytes(&s.to_bytes()).unwrap();
        s.remove(f64::INFINITY);
        assert_eq!(s.round(), 1.5);
        s.remove(1.5);
        assert_eq!(s.to_bytes(), ExactSum::default().to_bytes());
        assert_eq!(s.round().to_bits(), 0);
    }

    #[test]
    fn overflow_on_the_way_does_no_harm() {
        let mut s = ExactSum::default();
        (0..1000).for_each(|_| s.add(f64::MAX));
        assert_eq!(s.round(), f64::INFINITY);
        (0..999).for_each(|_| s.remove(f64::MAX));
        assert_eq!(s.round(), f64::MAX);
    }

    #[test]
    fn an_average_within_the_range_has_a_sum_beyond_it() {
        let of = |values: &[f64]| {
            let mut sum = ExactSum::default();
            values.iter().for_each(|v| sum.add(*v));
            sum.average(values.len() as i64)
        };
        assert_eq!(of(&[1e308, 1e308, 1e308]), 1e308);
        assert_eq!(of(&[-1.5e308, -1.7e308]), -1.6e308);
        assert_eq!(of(&[f64::MAX; 7]), f64::MAX);
        assert_eq!(of(&[1e308, 1e308, 5e-324, -1e-300]), 5e307);
        assert_eq!(of(&[f64::INFINITY, 1e308]), f64::INFINITY);
        assert_eq!(of(&[1.0, 2.0, 4.5]), 2.5);
    }

    #[test]
    fn damaged_bytes_are_refused() {
        for bytes in [&[][..], &[9], &[2, 0], &[0, 1], &[0, 1, 0], &[0, 255, 255, 1]] {
            assert!(ExactSum::from_bytes(bytes).is_err(), "{bytes:?}");
        }
    }
}
