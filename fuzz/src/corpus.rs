//! The corpus in the repository: one file for each target, `corpus/TARGET.z`, which holds its inputs one
//! after the other, each behind its length in four octets, compressed as a whole.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};

/// One input.
pub struct Input {
    /// What it is called.
    pub name: String,
    /// Where it lies, if it has a file of its own.
    pub path: Option<PathBuf>,
    /// The octets for the target.
    pub octets: Vec<u8>,
}

fn path(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("corpus/{target}.z"))
}

/// The inputs of a target. None if it has no file yet.
pub fn read(target: &str) -> io::Result<Vec<Input>> {
    let packed = match fs::read(path(target)) {
        Ok(packed) => packed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut plain = Vec::new();
    ZlibDecoder::new(&packed[..]).read_to_end(&mut plain)?;
    let (mut rest, mut inputs) = (&plain[..], Vec::new());
    while let Some((len, behind)) = rest.split_first_chunk() {
        let len = u32::from_be_bytes(*len) as usize;
        let Some((octets, behind)) = behind.split_at_checked(len) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let name = format!("{:05}", inputs.len());
        inputs.push(Input { name, path: None, octets: octets.to_vec() });
        rest = behind;
    }
    Ok(inputs)
}

/// Writes the inputs of a target, the short ones first. Returns the file.
pub fn write(target: &str, inputs: &[Input]) -> io::Result<PathBuf> {
    let mut all: Vec<&[u8]> = inputs.iter().map(|input| &input.octets[..]).collect();
    all.sort_unstable_by_key(|octets| (octets.len(), *octets));
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    for octets in all {
        let len = u32::try_from(octets.len()).map_err(io::Error::other)?;
        encoder.write_all(&len.to_be_bytes())?;
        encoder.write_all(octets)?;
    }
    let path = path(target);
    fs::create_dir_all(path.with_file_name(""))?;
    fs::write(&path, encoder.finish()?)?;
    Ok(path)
}

/// Writes each input of a target into a file of its own.
pub fn unpack(target: &str, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for input in read(target)? {
        fs::write(folder.join(format!("corpus-{}", input.name)), input.octets)?;
    }
    Ok(())
}

/// The files of a folder, or one file.
pub fn files(path: &Path) -> io::Result<Vec<Input>> {
    let mut paths = Vec::new();
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            paths.push(entry?.path());
        }
        paths.sort_unstable();
    } else {
        paths.push(path.to_owned());
    }
    paths
        .into_iter()
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok(Input { name, octets: fs::read(&path)?, path: Some(path) })
        })
        .collect()
}
