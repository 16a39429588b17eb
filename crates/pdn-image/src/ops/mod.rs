//! Operations on a picture in memory.

pub(crate) mod alpha;
pub(crate) mod blur;
pub(crate) mod light;
pub(crate) mod pillow;
pub(crate) mod resize;
pub(crate) mod row_filter;
