//! [`Viewer`]: its socket, the state of its stream, and what it was last shown. It takes about 200 bytes while idle.

use std::rc::Rc;

use headcount_wire::{Delimiter, PartScanner};
use mio::net::TcpStream;

use super::{
    complaint::Complaint,
    pictures::{PictureCache, PictureCheck, Shown},
    response::{self, Chunks, ResponseError},
    scanner::Scanner,
    target::{Behaviour, Target},
};

/// What a batch of viewers has in common.
#[derive(Debug)]
pub(crate) struct ViewerSpec {
    pub(crate) target: Target,
    pub(crate) behaviour: Behaviour,
}

/// Whether a viewer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadState {
    Reading,
    Stalled,
}

#[derive(Debug)]
pub(crate) struct Viewer {
    pub(crate) stream: TcpStream,
    pub(crate) spec: Rc<ViewerSpec>,
    /// The viewer's number, in the order of opening.
    pub(crate) ordinal: u32,
    pub(crate) read_state: ReadState,
    /// When it sent its request; 0 before.
    pub(crate) asked_ns: u64,
    pub(crate) shown: Option<Shown>,
    progress: Progress,
}

#[derive(Debug)]
enum Progress {
    Head(Vec<u8>),
    Body { chunks: Option<Chunks>, scanner: Scanner },
}

/// How a stream came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With the closing boundary.
    Ended,
    /// Between two images.
    Closed,
    /// Within an image, or before the first.
    Cut,
}

impl Viewer {
    pub(crate) fn new(stream: TcpStream, spec: Rc<ViewerSpec>, ordinal: u32) -> Self {
        Self {
            stream,
            spec,
            ordinal,
            read_state: ReadState::Reading,
            asked_ns: 0,
            shown: None,
            progress: Progress::Head(Vec::new()),
        }
    }

    /// Parses `bytes` of the response. Calls `on_picture` for each complete frame, with what was shown before it and what
    /// it shows.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        pictures: &mut PictureCache,
        delimiters: &mut Delimiters,
        mut on_picture: impl FnMut(Option<Shown>, Shown),
    ) -> Result<(), Complaint> {
        let kept;
        let mut bytes: &[u8] = bytes;
        if let Progress::Head(begun) = &mut self.progress {
            begun.extend_from_slice(bytes);
            let Some((body, used)) = Self::body(begun, &self.spec.behaviour, delimiters)? else { return Ok(()) };
            kept = begun.split_off(used);
            bytes = &kept;
            self.progress = body;
        }
        let Progress::Body { chunks, scanner } = &mut self.progress else { return Ok(()) };
        let check = self.spec.behaviour.check;
        let request = (self.spec.target.query(), check);
        let shown = &mut self.shown;
        let mut on_frame = |now: Shown| {
            let before = shown.replace(now);
            if let Some(before) = before
                && check != PictureCheck::Framing
                && before.epoch == now.epoch
                // A hidden number has no version.
                && now.number.is_some()
                && before.version > now.version
            {
                return Err(Complaint::WentBack { epoch: now.epoch, from: before.version, to: now.version });
            }
            on_picture(before, now);
            Ok(())
        };
        match chunks {
            None => scanner.push(bytes, pictures, request, on_frame),
            Some(chunks) => {
                while !bytes.is_empty() {
                    let payload = chunks.payload(&mut bytes)?;
                    scanner.push(payload, pictures, request, &mut on_frame)?;
                }
                Ok(())
            }
        }
    }

    /// The state of the body after a complete head, and the length of the head.
    fn body(
        begun: &[u8],
        behaviour: &Behaviour,
        delimiters: &mut Delimiters,
    ) -> Result<Option<(Progress, usize)>, ResponseError> {
        let Some(head) = response::head(begun)? else { return Ok(None) };
        if head.status != 200 {
            return Err(ResponseError::Status(head.status));
        }
        let scanner = match (&behaviour.bare_boundary, Scanner::of_text(head.content_type)) {
            (Some(boundary), _) => Scanner::Parts(delimiters.of(boundary), PartScanner::inside_part()),
            (None, Some(scanner)) => scanner,
            (None, None) => {
                let boundary = headcount_wire::head::boundary(head.content_type)
                    .ok_or_else(|| ResponseError::ContentType(head.content_type.into()))?;
                Scanner::Parts(delimiters.of(boundary), PartScanner::new())
            }
        };
        let chunks = head.chunked.then_some(Chunks::START);
        Ok(Some((Progress::Body { chunks, scanner }, head.bytes)))
    }

    /// How the stream has ended if it ends here.
    pub(crate) fn end(&self) -> End {
        match &self.progress {
            Progress::Body { scanner, .. } if scanner.ended() => End::Ended,
            Progress::Body { scanner, chunks }
                if !scanner.inside_frame() && self.shown.is_some() && chunks.is_none_or(|at| at == Chunks::Ended) =>
            {
                End::Closed
            }
            _ => End::Cut,
        }
    }
}

/// The delimiters in use, one for each boundary.
#[derive(Default)]
pub(crate) struct Delimiters(Vec<Rc<Delimiter>>);

impl Delimiters {
    fn of(&mut self, boundary: &str) -> Rc<Delimiter> {
        if let Some(known) = self.0.iter().find(|delimiter| delimiter.boundary() == boundary.as_bytes()) {
            return Rc::clone(known);
        }
        let delimiter = Rc::new(Delimiter::new(boundary));
        self.0.push(Rc::clone(&delimiter));
        delimiter
    }
}
