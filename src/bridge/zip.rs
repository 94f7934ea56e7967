//! Writes a zip archive: what `python FILE` can run.

use std::io::{self, Write as _};

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// 1980-01-01, the format's first day: the same content gives the same archive, so that hosts have it already.
const DATE: u16 = 0x21;
const VERSION: u16 = 20;
const DEFLATED: u16 = 8;

/// An archive of these files, in this order.
pub(super) fn archive<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    let mut count = 0_u16;
    for (name, content) in files {
        let offset = length(out.len())?;
        let entry = entry(name, content)?;
        out.extend(0x0403_4b50_u32.to_le_bytes());
        out.extend(&entry.header);
        out.extend(name.as_bytes());
        out.extend(&entry.packed);
        directory.extend(0x0201_4b50_u32.to_le_bytes());
        directory.extend(VERSION.to_le_bytes());
        directory.extend(&entry.header);
        // No comment, first disk, no attributes.
        directory.extend([0; 2 + 2 + 2 + 4]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
        count = count.checked_add(1).ok_or_else(|| io::Error::other("too many files for an archive"))?;
    }
    let (start, size) = (length(out.len())?, length(directory.len())?);
    out.extend(directory);
    out.extend(0x0605_4b50_u32.to_le_bytes());
    out.extend([0; 4]);
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0; 2]);
    Ok(out)
}

struct Entry {
    /// What both headers have, from the version needed to the length of the extra field.
    header: Vec<u8>,
    packed: Vec<u8>,
}

fn entry(name: &str, content: &[u8]) -> io::Result<Entry> {
    let mut crc = Crc::new();
    crc.update(content);
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content)?;
    let packed = encoder.finish()?;
    let mut header = Vec::new();
    for number in [VERSION, 0, DEFLATED, 0, DATE] {
        header.extend(number.to_le_bytes());
    }
    header.extend(crc.sum().to_le_bytes());
    header.extend(length(packed.len())?.to_le_bytes());
    header.extend(length(content.len())?.to_le_bytes());
    header.extend(u16::try_from(name.len()).map_err(io::Error::other)?.to_le_bytes());
    header.extend([0; 2]);
    Ok(Entry { header, packed })
}

fn length(bytes: usize) -> io::Result<u32> {
    u32::try_from(bytes).map_err(io::Error::other)
}
