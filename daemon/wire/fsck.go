package wire

// FsckRequest begins a check of all files of boxes.
type FsckRequest struct {
	Repair bool  `json:"repair,omitempty"` // put damaged ones into quarantine
	Rate   int64 `json:"rate,omitempty"`   // bytes that are read in a second at most; 0 for no limit
}

// FsckEvent tells how far a check is. The last one has a report.
type FsckEvent struct {
	Done    int64        `json:"done"`  // bytes
	Total   int64        `json:"total"` // bytes
	Finding *FsckFinding `json:"finding,omitempty"`
	Report  *FsckReport  `json:"report,omitempty"`
}

// FsckFinding is one blob that is not as it should be.
type FsckFinding struct {
	Kind        string   `json:"kind"` // missing, damaged, unreadable or unreferenced
	Digest      string   `json:"digest"`
	Size        int64    `json:"size"`
	Files       []string `json:"files,omitempty"` // of versions that name it: "org/box 1.0 libvirt/amd64"
	Detail      string   `json:"detail"`
	Quarantined bool     `json:"quarantined,omitempty"`
}

// FsckReport sums a check up.
type FsckReport struct {
	Blobs  int            `json:"blobs"`
	Bytes  int64          `json:"bytes"`
	Counts map[string]int `json:"counts"` // of findings, by kind; those that were not found are absent
}

// Healthy tells whether every file of every version is there and whole.
func (r FsckReport) Healthy() bool {
	for kind, n := range r.Counts {
		if n > 0 && kind != "unreferenced" {
			return false
		}
	}
	return true
}
