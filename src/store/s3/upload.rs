//! Multipart uploads.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, ObjectCannedAcl, ServerSideEncryption, StorageClass};
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{ID, S3Store};
use crate::model::object::Etag;
use crate::model::settings::ObjectAttributes;
use crate::store::{ErrorKind, StoreError};

/// What stays as it is in a tag set, which is a query string (S3 API reference, `x-amz-tagging`).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Parts of one upload (S3 quotas), and so pages of a listing of them.
const PARTS_MAX: usize = 10_000;

impl S3Store {
    pub(super) async fn create(
        &self,
        key: &str,
        id: &str,
        attributes: &ObjectAttributes,
    ) -> Result<String, StoreError> {
        const OP: &str = "CreateMultipartUpload";
        let output = self
            .attempt(OP, key, |current| {
                let mut call =
                    current.client.create_multipart_upload().bucket(&self.inner.bucket).key(key).metadata(ID, id);
                for (name, value) in &attributes.metadata {
                    call = call.metadata(name, value);
                }
                call.set_acl(attributes.acl.as_deref().map(ObjectCannedAcl::from))
                    .set_storage_class(attributes.storage_class.as_deref().map(StorageClass::from))
                    .set_server_side_encryption(attributes.sse.as_deref().map(ServerSideEncryption::from))
                    .set_ssekms_key_id(attributes.kms_key_id.clone())
                    .set_tagging(tagging(&attributes.tags))
                    .send()
            })
            .await?;
        let upload = output.upload_id().map(str::to_owned);
        upload.ok_or_else(|| self.refused(ErrorKind::Other, OP, key, "the answer names no upload"))
    }

    pub(super) async fn part(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        body: Vec<Bytes>,
    ) -> Result<String, StoreError> {
        const OP: &str = "UploadPart";
        let unhashed = self.inner.clients.plan.skips_payload_hash();
        // What is hashed has to be in one piece.
        let body = if unhashed { body } else { vec![put_together(body)] };
        let output = self
            .attempt(OP, key, |current| {
                let call = current.client.upload_part().bucket(&self.inner.bucket).key(key).upload_id(upload);
                // Cloning `Bytes` copies nothing.
                let call = call.part_number(number.cast_signed()).body(one_after_another(&body)).customize();
                if unhashed { call.disable_payload_signing() } else { call }.send()
            })
            .await?;
        let etag = output.e_tag().map(|etag| Etag::new(etag).as_str().to_owned());
        etag.ok_or_else(|| self.refused(ErrorKind::Other, OP, key, format!("the answer has no etag for part {number}")))
    }

    pub(super) async fn complete(
        &self,
        key: &str,
        upload: &str,
        parts: &[String],
        if_none_match: bool,
    ) -> Result<Etag, StoreError> {
        const OP: &str = "CompleteMultipartUpload";
        if parts.is_empty() {
            return Err(self.refused(ErrorKind::Other, OP, key, format!("upload {upload} has no parts to complete")));
        }
        let parts = (1..)
            .zip(parts)
            .map(|(number, etag)| CompletedPart::builder().part_number(number).e_tag(Etag::new(etag).quoted()).build());
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let complete = async |if_none_match: bool| {
            self.attempt(OP, key, |current| {
                let call =
                    current.client.complete_multipart_upload().bucket(&self.inner.bucket).key(key).upload_id(upload);
                let condition = if_none_match.then(|| "*".to_owned());
                call.multipart_upload(parts.clone()).set_if_none_match(condition).send()
            })
            .await
        };
        let completed = match complete(if_none_match).await {
            Err(error) if if_none_match && error.kind == ErrorKind::Unsupported => complete(false).await,
            other => other,
        };
        match completed?.e_tag().map(Etag::new).filter(|etag| !etag.as_str().is_empty()) {
            Some(etag) => Ok(etag),
            None => Ok(self.look(key).await?.etag),
        }
    }

    pub(super) async fn abort(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        let aborted = self
            .attempt("AbortMultipartUpload", key, |current| {
                current.client.abort_multipart_upload().bucket(&self.inner.bucket).key(key).upload_id(upload).send()
            })
            .await;
        match aborted {
            // Swift answers NoSuchKey to an upload that was completed.
            Err(error) if !matches!(error.kind, ErrorKind::NoSuchUpload | ErrorKind::NotFound) => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) async fn parts(&self, key: &str, upload: &str) -> Result<Vec<(u32, String)>, StoreError> {
        const OP: &str = "ListParts";
        let (mut parts, mut pages) = (Vec::new(), 0);
        let mut marker: Option<String> = None;
        loop {
            let output = self
                .attempt(OP, key, |current| {
                    let call = current.client.list_parts().bucket(&self.inner.bucket).key(key).upload_id(upload);
                    call.set_part_number_marker(marker.clone()).send()
                })
                .await?;
            for part in output.parts() {
                if let (Some(number), Some(etag)) = (part.part_number(), part.e_tag()) {
                    parts.push((number.cast_unsigned(), Etag::new(etag).as_str().to_owned()));
                }
            }
            let next =
                output.next_part_number_marker().filter(|_| output.is_truncated() == Some(true)).map(str::to_owned);
            if next.is_none() || next == marker {
                return Ok(parts);
            }
            pages += 1;
            if parts.len() > PARTS_MAX || pages > PARTS_MAX {
                return Err(self.refused(
                    ErrorKind::Other,
                    OP,
                    key,
                    format!("the server lists more than {PARTS_MAX} parts, and no upload has more"),
                ));
            }
            marker = next;
        }
    }
}

/// One piece of several, each given up once it is copied.
fn put_together(mut pieces: Vec<Bytes>) -> Bytes {
    if let [whole] = pieces.as_mut_slice() {
        return std::mem::take(whole);
    }
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in pieces {
        whole.extend_from_slice(&piece);
    }
    whole.freeze()
}

/// A request's body of several pieces, which are not put together.
fn one_after_another(pieces: &[Bytes]) -> ByteStream {
    match pieces {
        [] => ByteStream::default(),
        // A body that may be hashed has to be known as bytes.
        [whole] => ByteStream::from(whole.clone()),
        _ => ByteStream::from_body_1_x(Pieces { left: Vec::from(pieces).into_iter() }),
    }
}

struct Pieces {
    left: std::vec::IntoIter<Bytes>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.left.next().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.as_slice().is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.as_slice().iter().map(|piece| piece.len() as u64).sum())
    }
}

fn tagging(tags: &[(String, String)]) -> Option<String> {
    let encode = |text: &str| utf8_percent_encode(text, UNRESERVED).to_string();
    let pairs: Vec<String> = tags.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    (!pairs.is_empty()).then(|| pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_a_query_string() {
        let tags = [("team", "data & ml"), ("a=b", "ü"), ("empty", "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(tagging(&tags).as_deref(), Some("team=data%20%26%20ml&a%3Db=%C3%BC&empty="));
        assert_eq!(tagging(&[]), None);
    }

    #[tokio::test]
    async fn pieces_are_one_body() {
        let pieces: Vec<Bytes> = ["one", "", "two", "three"].map(Bytes::from).into();
        for count in 0..=pieces.len() {
            let some = pieces[..count].to_vec();
            let whole = some.concat();
            let body = one_after_another(&some);
            assert_eq!(
                body.size_hint(),
                (whole.len() as u64, Some(whole.len() as u64)),
                "its length is known before it is sent"
            );
            assert_eq!(body.collect().await.unwrap().into_bytes(), whole);
            assert_eq!(put_together(some), whole);
        }
    }
}
