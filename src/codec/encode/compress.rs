//! Blocks of text to gzip members and zstd frames. A file is any number of them one after the other (RFC 1952, 2.2; RFC
//! 8878, 3.1).

use std::io::{self, Write};

use flate2::GzBuilder;

use crate::model::format::Compression;

/// Between speed and size where the curves bend: 3 is zstd's own default, and what its peers use.
const ZSTD_LEVEL: i32 = 3;

/// gzip's own default.
const GZIP_LEVEL: u32 = 6;

/// Compresses pieces of text as one member or frame. The same pieces give the same bytes: no time and no name is
/// written.
pub(super) fn compress(codec: Compression, texts: &[Vec<u8>]) -> io::Result<Vec<u8>> {
    let bytes: usize = texts.iter().map(Vec::len).sum();
    let out = Vec::with_capacity(bytes / 3);
    match codec {
        Compression::None => Ok(texts.concat()),
        Compression::Gzip => {
            let mut writer = GzBuilder::new().write(out, flate2::Compression::new(GZIP_LEVEL));
            texts.iter().try_for_each(|text| writer.write_all(text))?;
            writer.finish()
        }
        Compression::Zstd => {
            let mut writer = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
            // Readers see how much a frame holds; the encoder fits its tables to it.
            writer.set_pledged_src_size(Some(bytes as u64))?;
            writer.include_checksum(true)?;
            texts.iter().try_for_each(|text| writer.write_all(text))?;
            writer.finish()
        }
    }
}
