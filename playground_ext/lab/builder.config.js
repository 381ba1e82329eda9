// Names that depend on the sources alone, so that two builds of the same sources are the same files.
module.exports = { optimization: { moduleIds: 'natural', chunkIds: 'natural' } };
