//! Puts pieces of a stream in order.

use std::collections::BTreeMap;

/// Pieces that came, and how far the stream is whole.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    next: u64,
    pending: BTreeMap<u64, Vec<u8>>,
}

impl Assembler {
    /// Where the first byte is that is missing.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// A piece and the place of its first byte. What was there before is kept.
    pub(super) fn put(&mut self, offset: u64, bytes: &[u8]) {
        let Some(end) = offset.checked_add(bytes.len() as u64) else { return };
        if end <= self.next {
            return;
        }
        let piece = self.pending.entry(offset).or_default();
        if piece.len() < bytes.len() {
            *piece = bytes.to_vec();
        }
    }

    /// What follows on what was taken before.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        let mut taken = Vec::new();
        while let Some(piece) = self.pending.first_entry().filter(|piece| *piece.key() <= self.next)
        {
            let (offset, bytes) = piece.remove_entry();
            let known = usize::try_from(self.next - offset).unwrap_or(usize::MAX);
            if let Some(new) = bytes.get(known..) {
                taken.extend_from_slice(new);
                self.next += new.len() as u64;
            }
        }
        (!taken.is_empty()).then_some(taken)
    }

    /// Bytes behind one that is missing.
    pub(super) fn behind_a_hole(&self) -> u64 {
        self.pending.values().map(|piece| piece.len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hole_holds_up_what_is_behind_it() {
        let mut assembler = Assembler::default();
        assembler.put(4, b"efg");
        assert_eq!((assembler.take(), assembler.behind_a_hole()), (None, 3));
        assembler.put(0, b"abcde");
        assert_eq!(assembler.take().unwrap(), b"abcdefg");
        assert_eq!((assembler.next(), assembler.behind_a_hole()), (7, 0));
    }

    #[test]
    fn a_piece_beyond_the_end_of_numbers_is_none() {
        let mut assembler = Assembler::default();
        assembler.put(u64::MAX, b"ab");
        assert_eq!(assembler.behind_a_hole(), 0);
    }

    proptest! {
        /// Whatever the order of the pieces is, and however they overlap.
        #[test]
        fn pieces_come_out_in_order(
            length in 1_usize..200,
            cuts in proptest::collection::vec((0_usize..200, 0_usize..40), 0..40),
        ) {
            let whole: Vec<u8> = (0..length).map(|at| at.to_le_bytes()[0]).collect();
            let mut assembler = Assembler::default();
            let mut seen = Vec::new();
            for (from, size) in cuts {
                let (from, to) = (from.min(length), (from + size).min(length));
                assembler.put(from as u64, &whole[from..to]);
                seen.extend(assembler.take().unwrap_or_default());
                prop_assert!(whole.starts_with(&seen));
            }
            assembler.put(0, &whole);
            seen.extend(assembler.take().unwrap_or_default());
            prop_assert_eq!(&seen, &whole);
            prop_assert_eq!(assembler.behind_a_hole(), 0);
        }
    }
}
