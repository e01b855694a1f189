//! Which offsets of a topic were seen: a set of a few bits each where they are dense, as those of a topic are.

use std::collections::HashMap;

const CHUNK_BITS: u32 = 16;
const WORDS: usize = (1 << CHUNK_BITS) / 64;
/// Past this many a chunk is smaller as bits.
const FEW_MAX: usize = WORDS * 4;

/// A set of (partition, offset).
#[derive(Default)]
pub(crate) struct Offsets(HashMap<(i32, i64), Chunk>);

enum Chunk {
    /// In order.
    Few(Vec<u16>),
    Many(Box<[u64; WORDS]>),
}

impl Offsets {
    /// Whether it was not there yet.
    pub fn insert(&mut self, partition: i32, offset: i64) -> bool {
        let low = (offset & ((1 << CHUNK_BITS) - 1)) as u16;
        let chunk = self.0.entry((partition, offset >> CHUNK_BITS)).or_insert_with(|| Chunk::Few(Vec::new()));
        match chunk {
            Chunk::Few(few) => match few.binary_search(&low) {
                Ok(_) => false,
                Err(at) => {
                    few.insert(at, low);
                    if few.len() > FEW_MAX {
                        let mut words = Box::new([0; WORDS]);
                        few.iter().for_each(|low| _ = set(&mut words, *low));
                        *chunk = Chunk::Many(words);
                    }
                    true
                }
            },
            Chunk::Many(words) => set(words, low),
        }
    }
}

/// Whether the bit was not set.
fn set(words: &mut [u64; WORDS], low: u16) -> bool {
    let Some(word) = words.get_mut(usize::from(low) / 64) else { return false };
    let bit = 1 << (low % 64);
    let is_new = *word & bit == 0;
    *word |= bit;
    is_new
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn it_is_a_set() {
        let (mut ours, mut wanted) = (Offsets::default(), HashSet::new());
        let mut x = 1_u64;
        for i in 0..60_000_i64 {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Dense, sparse, negative and extreme ones, some of them twice.
            let offset = match i % 4 {
                0 => i / 2,
                1 => (x >> 40) as i64,
                2 => -(i % 100),
                _ => i64::MAX - (i % 70_000),
            };
            let partition = (x >> 60) as i32 % 3;
            assert_eq!(ours.insert(partition, offset), wanted.insert((partition, offset)), "{partition} {offset}");
        }
        assert!(ours.0.values().any(|c| matches!(c, Chunk::Many(_))));
    }
}
