//! The image of a short key: its whole encoding in two words, so that hashing and comparing need no memory access.
//!
//! Knows no record type. Invariant: no encoding is a prefix of another (see [`crate::Record`]), so padding with zeros keeps
//! different keys different and leaves their order by bytes as it was.

/// The longest encoding that has an image. A string of 15 bytes fits with its length before it.
pub const IMAGE_BYTES: usize = 16;

/// The encoding of a key of at most 16 bytes, padded with zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Bytes 0 to 7, the first in the lowest bits.
    pub low: u64,
    /// Bytes 8 to 15.
    pub high: u64,
}

impl Image {
    /// The image of an encoding; `None` if it is too long to have one.
    #[inline(always)]
    pub fn of(encoding: &[u8]) -> Option<Image> {
        (encoding.len() <= IMAGE_BYTES).then(|| Image::from(gather(encoding)))
    }

    /// The image of `text` with its length before it, as strings are encoded; `None` if it is too long to have one.
    #[inline(always)]
    pub fn of_text(text: &[u8]) -> Option<Image> {
        (text.len() < IMAGE_BYTES).then(|| Image::from(gather(text) << 8 | text.len() as u128))
    }

    /// All 16 bytes; the encoding is at their beginning.
    #[inline]
    pub fn bytes(self) -> [u8; IMAGE_BYTES] {
        u128::from(self).to_le_bytes()
    }

    /// The first eight bytes as a number that orders as they do.
    #[inline]
    pub fn prefix(self) -> u64 {
        self.low.swap_bytes()
    }
}

impl From<u128> for Image {
    #[inline]
    fn from(bits: u128) -> Image {
        Image { low: bits as u64, high: (bits >> 64) as u64 }
    }
}

impl From<Image> for u128 {
    #[inline]
    fn from(image: Image) -> u128 {
        u128::from(image.low) | u128::from(image.high) << 64
    }
}

/// Up to 16 bytes as a number, the first in the lowest bits. Two overlapping loads instead of a loop over the bytes: this
/// runs once for every record of a combine.
#[inline(always)]
fn gather(bytes: &[u8]) -> u128 {
    let count = bytes.len();
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        u128::from(u64::from_le_bytes(*first)) | u128::from(u64::from_le_bytes(*last)) << (8 * (count - 8))
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        u128::from(u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << (8 * (count - 4)))
    } else if let (Some(first), Some(last)) = (bytes.first(), bytes.last()) {
        let middle = u32::from(bytes[count / 2]) << (8 * (count / 2));
        u128::from(u32::from(*first) | middle | u32::from(*last) << (8 * (count - 1)))
    } else {
        0
    }
}
