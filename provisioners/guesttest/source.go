package guesttest

import (
	"io/fs"
	"testing/fstest"
)

// source is a directory to be sent.
func source() fs.FS {
	return fstest.MapFS{
		"a":                  {Data: []byte("1"), Mode: 0o644},
		"sub/run":            {Data: []byte("2"), Mode: 0o755},
		"sub/deep/two words": {Data: []byte("3"), Mode: 0o600},
	}
}
