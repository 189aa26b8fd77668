package wire

import (
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// Checkpoint is a frozen machine, or an artifact, that builds can start from.
type Checkpoint struct {
	ID          string `json:"id"`
	Fingerprint string `json:"fingerprint"`
	Kind        string `json:"kind"` // memory, disk or artifact
	// Stage is what it was made after: "installed", "provision[1] shell", "artifact".
	Stage    string   `json:"stage"`
	Index    int      `json:"index"` // of the stage
	Label    string   `json:"label"`
	Template string   `json:"template"`
	Build    build.ID `json:"build"`   // that made it
	Seconds  float64  `json:"seconds"` // of work that it saves
	// Reads are the ingredients of the stage.
	Reads []build.Ingredient `json:"reads"`
	// Parent is the checkpoint whose disks its own are overlays of.
	Parent string `json:"parent,omitempty"`
	// Host is what its memory depends on, for kind memory.
	Host    *hypervisor.Host `json:"host,omitempty"`
	Created build.Stamp      `json:"created"`
	Used    build.Stamp      `json:"used"`   // last
	Bytes   int64            `json:"bytes"`  // on disk
	InUse   int              `json:"in_use"` // how many builds use it
	// Layer: it was evicted, and only its disks remain, for those that stand on them.
	Layer bool `json:"layer,omitempty"`
}

// CheckpointList lists checkpoints, newest first.
type CheckpointList struct {
	Checkpoints []Checkpoint `json:"checkpoints"`
}

// PruneRequest says what may stay. Zero values choose the daemon's limits.
type PruneRequest struct {
	Budget  int64   `json:"budget,omitempty"`     // bytes on disk
	Seconds float64 `json:"older_than,omitempty"` // what was made longer ago goes
	All     bool    `json:"all,omitempty"`        // everything that is not in use goes
}

// PruneReply says what went.
type PruneReply struct {
	Removed []Checkpoint `json:"removed"`
	Freed   int64        `json:"freed"` // bytes on disk
}
