//! Request ids in one arena: no allocation per id.

/// Ids by row number.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ids {
    text: String,
    ends: Vec<usize>,
}

impl Ids {
    pub(crate) fn push(&mut self, id: &str) {
        self.text.push_str(id);
        self.ends.push(self.text.len());
    }

    /// The number of ids.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The id of row `index`.
    ///
    /// # Panics
    /// When `index` is not below [`Ids::len`].
    pub fn get(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.text[start..self.ends[index]]
    }

    /// All ids in row order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|i| self.get(i))
    }

    /// Sorts 64-bit hashes instead of building a table of strings: 12 bytes an id, and no id is compared unless hashes
    /// agree.
    pub(crate) fn first_duplicate(&self) -> Option<(usize, usize)> {
        let mut hashed: Vec<(u64, u32)> = (0..self.len()).map(|i| (fnv1a(self.get(i)), i as u32)).collect();
        hashed.sort_unstable();
        let mut first: Option<(usize, usize)> = None;
        for run in hashed.chunk_by(|a, b| a.0 == b.0).filter(|run| run.len() > 1) {
            // Rows of a run ascend. Real duplicates make long runs of one text; different texts with one hash are
            // accidents, so comparing neighbours after a sort by text is enough and stays fast for either.
            let mut rows: Vec<u32> = run.iter().map(|&(_, row)| row).collect();
            rows.sort_by_key(|&row| (self.get(row as usize), row));
            for pair in rows.chunk_by(|&a, &b| self.get(a as usize) == self.get(b as usize)) {
                if let [earlier, later, ..] = *pair {
                    let found = (earlier as usize, later as usize);
                    if first.is_none_or(|best| found.1 < best.1) {
                        first = Some(found);
                    }
                }
            }
        }
        first
    }
}

fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_found_in_file_order() {
        let mut ids = Ids::default();
        for id in ["a", "b", "c", "b", "a", "b"] {
            ids.push(id);
        }
        assert_eq!(ids.first_duplicate(), Some((1, 3)));
        assert_eq!(ids.iter().collect::<String>(), "abcbab");
        let mut unique = Ids::default();
        (0..10_000).for_each(|i| unique.push(&i.to_string()));
        assert_eq!(unique.first_duplicate(), None);
    }
}
