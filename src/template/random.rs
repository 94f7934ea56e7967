//! Python's random numbers: the Mersenne Twister, so that a seed gives the same host the same number as under Ansible.

use sha2::{Digest as _, Sha512};

use super::value::Value;

const LENGTH: usize = 624;
const MIDDLE: usize = 397;

/// `random.Random`.
pub(super) struct Random {
    state: [u32; LENGTH],
    index: usize,
}

impl Random {
    /// Seeded by the system.
    pub(super) fn system() -> Self {
        Self::keyed(&std::array::from_fn::<u32, 8, _>(|_| rand::random()))
    }

    /// Seeded as Python's `Random(seed)` is.
    pub(super) fn seeded(seed: &Value) -> Self {
        match seed {
            Value::Int(number) => Self::keyed(&words(&number.unsigned_abs().to_be_bytes())),
            Value::Bool(flag) => Self::keyed(&[u32::from(*flag)]),
            other => {
                let text = other.to_text();
                let mut bytes = text.as_bytes().to_vec();
                bytes.extend_from_slice(&Sha512::digest(text.as_bytes()));
                Self::keyed(&words(&bytes))
            }
        }
    }

    fn of_number(seed: u32) -> Self {
        let mut state = [0; LENGTH];
        let mut last = seed;
        for (index, word) in state.iter_mut().enumerate() {
            if index > 0 {
                last = 1_812_433_253_u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(u32::try_from(index).unwrap_or_default());
            }
            *word = last;
        }
        Self { state, index: LENGTH }
    }

    fn word(&self, index: usize) -> u32 {
        self.state.get(index % LENGTH).copied().unwrap_or_default()
    }

    fn put(&mut self, index: usize, value: u32) {
        if let Some(word) = self.state.get_mut(index) {
            *word = value;
        }
    }

    fn keyed(key: &[u32]) -> Self {
        let mut this = Self::of_number(19_650_218);
        let (mut index, mut at) = (1, 0);
        let mixed = |this: &Self, index: usize| this.word(index - 1) ^ (this.word(index - 1) >> 30);
        for _ in 0..LENGTH.max(key.len()) {
            let part = key.get(at).copied().unwrap_or_default().wrapping_add(u32::try_from(at).unwrap_or_default());
            let value = (this.word(index) ^ mixed(&this, index).wrapping_mul(1_664_525)).wrapping_add(part);
            this.put(index, value);
            index += 1;
            at = (at + 1) % key.len().max(1);
            if index == LENGTH {
                this.put(0, this.word(LENGTH - 1));
                index = 1;
            }
        }
        for _ in 1..LENGTH {
            let value =
                (this.word(index) ^ mixed(&this, index).wrapping_mul(1_566_083_941)).wrapping_sub(u32::try_from(index).unwrap_or_default());
            this.put(index, value);
            index += 1;
            if index == LENGTH {
                this.put(0, this.word(LENGTH - 1));
                index = 1;
            }
        }
        this.put(0, 0x8000_0000);
        this
    }

    fn next(&mut self) -> u32 {
        if self.index >= LENGTH {
            for index in 0..LENGTH {
                let mixed = (self.word(index) & 0x8000_0000) | (self.word(index + 1) & 0x7fff_ffff);
                let odd = if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
                let value = self.word(index + MIDDLE) ^ (mixed >> 1) ^ odd;
                self.put(index, value);
            }
            self.index = 0;
        }
        let mut value = self.word(self.index);
        self.index += 1;
        value ^= value >> 11;
        value ^= (value << 7) & 0x9d2c_5680;
        value ^= (value << 15) & 0xefc6_0000;
        value ^ (value >> 18)
    }

    fn bits(&mut self, count: u32) -> u128 {
        if count <= 32 {
            return if count == 0 { 0 } else { u128::from(self.next() >> (32 - count)) };
        }
        let (mut out, mut left, mut shift) = (0, count, 0);
        while left > 0 {
            let word = if left < 32 { self.next() >> (32 - left) } else { self.next() };
            out |= u128::from(word) << shift;
            shift += 32;
            left = left.saturating_sub(32);
        }
        out
    }

    /// A number below `limit`, which is not 0.
    pub(super) fn below(&mut self, limit: u128) -> u128 {
        let bits = 128 - limit.leading_zeros();
        loop {
            let number = self.bits(bits);
            if number < limit {
                return number;
            }
        }
    }

    /// One of `length` positions.
    pub(super) fn position(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u128)).unwrap_or_default()
    }

    /// `random.shuffle`.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            let other = self.position(index + 1);
            items.swap(index, other);
        }
    }
}

/// Big-endian bytes as little-endian words, without leading zeros.
fn words(bytes: &[u8]) -> Vec<u32> {
    let mut out: Vec<u32> = bytes.rchunks(4).map(|chunk| chunk.iter().fold(0, |word, byte| (word << 8) | u32::from(*byte))).collect();
    while out.len() > 1 && out.last() == Some(&0) {
        out.pop();
    }
    out
}

/// One of `items`, at random.
pub(super) fn choice(items: &[Value]) -> Option<Value> {
    if items.is_empty() {
        return None;
    }
    items.get(Random::system().position(items.len())).cloned()
}
