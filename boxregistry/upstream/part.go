package upstream

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
)

// partName is the file in which a download grows.
type partName struct{ dir, name string }

func (p partName) path() string  { return filepath.Join(p.dir, p.name) }
func (p partName) state() string { return p.path() + ".json" }

// partState says whose bytes a part file holds.
type partState struct {
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"modified,omitempty"`
	Size     int64  `json:"size,omitempty"` // of the whole file; 0 if the server did not say
}

// ifRange is what If-Range takes: a strong validator (RFC 9110, 13.1.5), empty when there is none.
func (s partState) ifRange() string {
	if s.ETag != "" && s.ETag[0] == '"' {
		return s.ETag
	}
	return s.Modified
}

// reserve gives a download the part file of its key, or another one while somebody uses that.
func (f *Fetcher) reserve(key string) (partName, func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sum := sha256.Sum256([]byte(key))
	base := hex.EncodeToString(sum[:16])
	name := base
	for n := 2; f.busy[name]; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	if f.busy == nil {
		f.busy = map[string]bool{}
	}
	f.busy[name] = true
	return partName{f.Dir, name}, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.busy, name)
	}
}
