//! The eyes on real photos: the whole path from bytes to embeddings, and what it must withstand.

mod golden;
mod support;
