// SPDX-License-Identifier: Apache-2.0
//! The content of one simulated file: what the machine sees, what is durable, and the state of each page.

use std::ops::Range;

const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// A file's content.
#[derive(Clone, Default)]
pub(super) struct Content {
    pub(super) seen: Vec<u8>,
    durable: Vec<u8>,
    pages: Vec<Page>,
    pub(super) modified_ms: i64,
}

#[derive(Clone, Copy, Default)]
struct Page {
    /// Written since the last sync. A sync that failed leaves the page clean although it is not durable, as kernels do.
    is_dirty: bool,
    /// Has space on the disk.
    is_placed: bool,
}

impl Content {
    /// A file that is durable as it is.
    pub(super) fn new(bytes: &[u8], modified_ms: i64) -> Self {
        let page = Page {
            is_dirty: false,
            is_placed: true,
        };
        Self {
            seen: bytes.to_vec(),
            durable: bytes.to_vec(),
            pages: vec![page; bytes.len().div_ceil(PAGE)],
            modified_ms,
        }
    }

    /// Makes the file at least `len` bytes long, without space on the disk.
    pub(super) fn extend(&mut self, len: usize) {
        if self.seen.len() < len {
            self.seen.resize(len, 0);
            self.durable.resize(len, 0);
            self.pages.resize(len.div_ceil(PAGE), Page::default());
        }
    }

    /// The pages of a range, rounded outwards.
    fn pages(&mut self, range: Range<usize>) -> &mut [Page] {
        let to = range.end.div_ceil(PAGE).min(self.pages.len());
        let from = (range.start / PAGE).min(to);
        self.pages.get_mut(from..to).unwrap_or_default()
    }

    /// Whether all pages of a range have space.
    pub(super) fn is_placed(&mut self, range: Range<usize>) -> bool {
        self.pages(range).iter().all(|page| page.is_placed)
    }

    /// Gives space to the pages of a range.
    pub(super) fn place(&mut self, range: Range<usize>) {
        for page in self.pages(range) {
            page.is_placed = true;
        }
    }

    /// Writes inside the file; `false` if the range is not.
    pub(super) fn write(&mut self, at: usize, bytes: &[u8], now_ms: i64) -> bool {
        let range = at..at.saturating_add(bytes.len());
        let Some(target) = self.seen.get_mut(range.clone()) else {
            return false;
        };
        target.copy_from_slice(bytes);
        for page in self.pages(range) {
            page.is_dirty = true;
            page.is_placed = true;
        }
        self.modified_ms = now_ms;
        true
    }

    /// Makes whole pages of a range zero and gives their space back.
    pub(super) fn punch(&mut self, range: Range<usize>) {
        if let Some(bytes) = self.seen.get_mut(range.clone()) {
            bytes.fill(0);
        }
        let whole = range.start.next_multiple_of(PAGE)..range.end;
        for page in self.pages(range) {
            page.is_dirty = true;
        }
        for page in self.pages(whole) {
            page.is_placed = false;
        }
    }

    /// Ends a sync of a range, rounded to pages.
    pub(super) fn sync(&mut self, range: Range<usize>, is_ok: bool) {
        let first = range.start / PAGE;
        let Self {
            seen,
            durable,
            pages,
            ..
        } = self;
        let last = range.end.div_ceil(PAGE).min(pages.len());
        for (index, page) in pages.iter_mut().enumerate().take(last).skip(first) {
            if std::mem::take(&mut page.is_dirty) && is_ok {
                let end = ((index + 1) * PAGE).min(seen.len());
                if let (Some(to), Some(from)) = (
                    durable.get_mut(index * PAGE..end),
                    seen.get(index * PAGE..end),
                ) {
                    to.copy_from_slice(from);
                }
            }
        }
    }

    /// Inverts a bit of what is seen and of what is durable.
    pub(super) fn flip(&mut self, at: usize, bit: u8) -> bool {
        let mut is_flipped = false;
        for bytes in [&mut self.seen, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (bit % 8);
                is_flipped = true;
            }
        }
        is_flipped
    }

    /// What a power failure leaves: of every page that is not durable nothing, everything, or some of its sectors.
    pub(super) fn crash(&self, random: &mut impl FnMut() -> u64) -> Self {
        let mut left = self.durable.clone();
        for (page, index) in (0..left.len()).step_by(PAGE).zip(0..) {
            let page_end = (page + PAGE).min(left.len());
            let is_clean = self.pages.get(index).is_none_or(|page| !page.is_dirty);
            if is_clean && left.get(page..page_end) == self.seen.get(page..page_end) {
                continue;
            }
            // 0: lost, 1: kept, 2: torn at sectors.
            let fate = random() % 3;
            for sector in (page..page_end).step_by(SECTOR) {
                let range = sector..(sector + SECTOR).min(page_end);
                if (fate == 1 || fate == 2 && random().is_multiple_of(2))
                    && let (Some(to), Some(from)) =
                        (left.get_mut(range.clone()), self.seen.get(range))
                {
                    to.copy_from_slice(from);
                }
            }
        }
        let clean = |page: &Page| Page {
            is_dirty: false,
            ..*page
        };
        Self {
            seen: left.clone(),
            durable: left,
            pages: self.pages.iter().map(clean).collect(),
            modified_ms: self.modified_ms,
        }
    }
}
