//! Just enough of Redis's protocol: where a message ends, what a command is called, and a connection to ask things on.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A value of RESP2, and of RESP3 as far as its shapes are those of RESP2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A status, or a bulk string.
    Text(Vec<u8>),
    /// An error.
    Error(String),
    /// An integer.
    Number(i64),
    /// Nothing.
    Nil,
    /// An array, a set, a map, or a push.
    List(Vec<Value>),
}

impl Value {
    /// As text, where it is text or a number.
    pub fn text(&self) -> String {
        match self {
            Self::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Number(number) => number.to_string(),
            _ => String::new(),
        }
    }

    /// The elements of a list; none for anything else.
    pub fn list(&self) -> &[Value] {
        match self {
            Self::List(values) => values,
            _ => &[],
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) | Self::Number(_) => write!(out, "{}", self.text()),
            Self::Error(error) => write!(out, "(error) {error}"),
            Self::Nil => write!(out, "(nil)"),
            Self::List(values) => {
                for (index, value) in values.iter().enumerate() {
                    write!(out, "{}{value}", if index == 0 { "" } else { "\n" })?;
                }
                Ok(())
            }
        }
    }
}

/// Bytes that are no RESP.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no RESP message begins with {0:?}")]
pub struct Malformed(String);

impl From<Malformed> for io::Error {
    fn from(malformed: Malformed) -> Self {
        Self::new(io::ErrorKind::InvalidData, malformed)
    }
}

/// The message at the beginning of `data`, and its length; `None` until it is complete.
///
/// # Errors
/// If the bytes are no RESP.
pub fn message(data: &[u8]) -> Result<Option<(Value, usize)>, Malformed> {
    let malformed = || Malformed(String::from_utf8_lossy(&data[..data.len().min(40)]).into_owned());
    let Some(end) = memchr::memmem::find(data, b"\r\n") else {
        return if data.len() > 64 << 10 { Err(malformed()) } else { Ok(None) };
    };
    let line = std::str::from_utf8(&data[1.min(end)..end]).map_err(|_| malformed())?;
    let used = end + 2;
    let count = || line.parse::<i64>().map_err(|_| malformed());
    let value = match data[0] {
        b'+' | b',' | b'(' | b'#' => Value::Text(line.into()),
        b'-' => Value::Error(line.into()),
        b':' => Value::Number(count()?),
        b'_' => Value::Nil,
        b'$' | b'=' | b'!' => {
            let Ok(length) = usize::try_from(count()?) else { return Ok(Some((Value::Nil, used))) };
            let Some(bytes) = data.get(used..used + length + 2) else { return Ok(None) };
            return Ok(Some((Value::Text(bytes[..length].to_vec()), used + length + 2)));
        }
        b'*' | b'~' | b'>' | b'%' => {
            let Ok(mut length) = usize::try_from(count()?) else { return Ok(Some((Value::Nil, used))) };
            if data[0] == b'%' {
                length *= 2;
            }
            let (mut values, mut at) = (Vec::with_capacity(length.min(1024)), used);
            for _ in 0..length {
                match message(&data[at..])? {
                    Some((value, used)) => {
                        values.push(value);
                        at += used;
                    }
                    None => return Ok(None),
                }
            }
            return Ok(Some((Value::List(values), at)));
        }
        _ => return Err(malformed()),
    };
    Ok(Some((value, used)))
}

/// A command as it goes over the wire.
pub fn command<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        let argument = argument.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Asks one thing on a connection of its own.
///
/// # Errors
/// If there is no connection, or no answer within 5 s.
pub fn ask<A: AsRef<[u8]>>(address: SocketAddr, arguments: &[A]) -> io::Result<Value> {
    let patience = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(&command(arguments))?;
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 16 << 10]);
    loop {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
        if let Some((value, _)) = message(&bytes)? {
            return Ok(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_end_where_they_end() {
        let bytes = b"*3\r\n$7\r\nmessage\r\n:12\r\n*-1\r\n+OK\r\n";
        let whole = bytes.len() - 5;
        for cut in 0..whole {
            assert_eq!(message(&bytes[..cut]), Ok(None), "{cut}");
        }
        let (value, used) = message(bytes).unwrap().unwrap();
        assert_eq!(used, whole);
        assert_eq!(value, Value::List(vec![Value::Text(b"message".to_vec()), Value::Number(12), Value::Nil]));
        assert_eq!(message(b"%1\r\n+a\r\n:1\r\n").unwrap().unwrap().1, 12);
        assert!(message(b"GET / HTTP/1.1\r\n").is_err());
        assert_eq!(command(&["PING", "a"]), b"*2\r\n$4\r\nPING\r\n$1\r\na\r\n");
    }
}
