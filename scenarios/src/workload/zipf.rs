//! Zipf's law without the platform's mathematics: rank k is drawn with weight k^-skew.
//!
//! Weights come from the four basic operations alone, which IEEE 754 fixes to the last bit, and become integers before
//! the first draw; a draw is one 64-bit number and two look-ups (the alias method). Invariant: the same (keys, skew)
//! gives the same table on every machine and at every optimisation level.

use std::f64::consts::LN_2;

/// The weight of rank 1. Small enough that the sum over 2^24 ranks fits 64 bits.
const TOP_WEIGHT: f64 = (1u64 << 40) as f64;

/// Terms of the series of ln((1+t)/(1-t)) for t <= 1/3: the next one is below 2^-60.
const LN_TERMS: u32 = 19;

/// Terms of the series of e^x for x in 0..ln 2: the next one is below 2^-60.
const EXP_TERMS: u32 = 20;

/// Draws ranks from 0.
#[derive(Clone, Debug)]
pub(super) struct Zipf {
    /// rank -> (share of its column that is its own, as a fraction of 2^64; who owns the rest)
    columns: Vec<(u64, u32)>,
}

impl Zipf {
    /// The law over `keys` ranks. `keys` is at least 1 and at most 2^24, `skew` finite and not negative.
    pub(super) fn new(keys: u32, skew: f64) -> Zipf {
        let weights: Vec<u64> = (1..=keys).map(|rank| weight(rank, skew)).collect();
        Zipf { columns: alias_table(&weights) }
    }

    /// The rank that the uniform number `random` stands for.
    pub(super) fn rank(&self, random: u64) -> u32 {
        let product = u128::from(random) * self.columns.len() as u128;
        // The high word is the column; the low word is uniform within it.
        let column = (product >> 64) as u32;
        let (own, other) = self.columns[column as usize];
        if (product as u64) < own { column } else { other }
    }
}

/// k^-skew in units of 2^-40, at least 1.
fn weight(rank: u32, skew: f64) -> u64 {
    let weight = TOP_WEIGHT * exp_of_negative(skew * ln(f64::from(rank)));
    (weight.round() as u64).max(1)
}

/// The natural logarithm of a whole number of at least 1.
fn ln(x: f64) -> f64 {
    let mut mantissa = x;
    let mut halvings = 0.0;
    while mantissa >= 2.0 {
        mantissa /= 2.0;
        halvings += 1.0;
    }
    // ln(m) = 2 (t + t^3/3 + t^5/5 + ...)  with  t = (m - 1) / (m + 1)
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let mut power = t;
    let mut sum = 0.0;
    for term in 0..LN_TERMS {
        sum += power / f64::from(2 * term + 1);
        power *= t * t;
    }
    2.0 * sum + halvings * LN_2
}

/// e^-x for x of at least 0.
fn exp_of_negative(x: f64) -> f64 {
    let halvings = (x / LN_2).floor();
    if halvings > 1000.0 {
        return 0.0;
    }
    let rest = x - halvings * LN_2;
    let mut term = 1.0;
    let mut sum = 1.0;
    for index in 1..EXP_TERMS {
        term *= rest / f64::from(index);
        sum += term;
    }
    let mut result = 1.0 / sum;
    for _ in 0..halvings as u32 {
        result /= 2.0;
    }
    result
}

/// Vose's alias table in whole numbers: every column is filled to the same height from at most two ranks.
fn alias_table(weights: &[u64]) -> Vec<(u64, u32)> {
    let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    let count = weights.len() as u128;
    // A column's height is `total`; rank k brings weight * count.
    let mut heights: Vec<u128> = weights.iter().map(|weight| u128::from(*weight) * count).collect();
    let index = |rank: usize| u32::try_from(rank).expect("the number of keys fits 24 bits");
    let mut columns: Vec<(u64, u32)> = (0..weights.len()).map(|rank| (u64::MAX, index(rank))).collect();
    let (mut low, mut high): (Vec<usize>, Vec<usize>) = (0..weights.len()).partition(|rank| heights[*rank] < total);
    while let (Some(small), Some(large)) = (low.pop(), high.last().copied()) {
        let own = (heights[small] << 64) / total;
        columns[small] = (u64::try_from(own).expect("the column is not full"), index(large));
        heights[large] -= total - heights[small];
        if heights[large] < total {
            high.pop();
            low.push(large);
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_and_exponential_agree_with_the_platforms_to_a_part_in_ten_to_the_twelfth() {
        for k in [1.0f64, 2.0, 3.0, 7.0, 10.0, 999.0, 65_536.0, 16_777_215.0] {
            assert!((ln(k) - k.ln()).abs() < 1e-12, "ln {k}");
            for skew in [0.0, 0.5, 1.0, 2.5] {
                let expected = k.powf(-skew);
                let seen = exp_of_negative(skew * ln(k));
                assert!((seen / expected - 1.0).abs() < 1e-12, "{k}^-{skew}: {seen} is not {expected}");
            }
        }
    }

    /// The share of all 64-bit numbers that the table gives to each rank.
    fn shares(zipf: &Zipf) -> Vec<f64> {
        let column = 1.0 / zipf.columns.len() as f64;
        let mut shares = vec![0.0; zipf.columns.len()];
        for (rank, (own, other)) in zipf.columns.iter().enumerate() {
            let own = *own as f64 / 2f64.powi(64);
            shares[rank] += column * own;
            shares[*other as usize] += column * (1.0 - own);
        }
        shares
    }

    #[test]
    fn every_rank_has_the_share_of_the_law() {
        for (keys, skew) in [(1u32, 1.0), (2, 0.0), (10, 1.0), (1000, 1.0), (1000, 0.7), (50, 3.0)] {
            let total: f64 = (1..=keys).map(|rank| f64::from(rank).powf(-skew)).sum();
            for (rank, share) in shares(&Zipf::new(keys, skew)).into_iter().enumerate() {
                let expected = (rank as f64 + 1.0).powf(-skew) / total;
                assert!((share - expected).abs() < 1e-9, "{keys} keys, skew {skew}, rank {rank}: {share} {expected}");
            }
        }
    }

    #[test]
    fn the_table_is_the_same_as_ever() {
        let zipf = Zipf::new(1000, 1.1);
        let bytes: Vec<u8> = zipf
            .columns
            .iter()
            .flat_map(|(own, other)| [own.to_le_bytes().to_vec(), other.to_le_bytes().to_vec()].concat())
            .collect();
        assert_eq!(
            fnv(&bytes),
            15_338_158_241_904_973_164,
            "a different table means that old seeds draw other records"
        );
    }

    /// FNV-1a: a digest that no dependency can change.
    fn fnv(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
    }
}
