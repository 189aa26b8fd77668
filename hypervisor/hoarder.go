package hypervisor

import (
	"context"
	"time"
)

// Keepsake is something that a cloud holds and that carries the tag of an installation.
type Keepsake struct {
	Region string    `json:"region,omitempty"`
	Kind   string    `json:"kind"` // in the cloud's word: instance, volume, snapshot ...
	ID     string    `json:"id"`
	Name   string    `json:"name,omitempty"`
	Tag    Tag       `json:"tag"`
	Made   time.Time `json:"made,omitzero"`
}

// Hoarder is the ability of a Driver to tell what it holds in a cloud, and to let go of it. What was handed over to the user, such as
// the image of a build that has succeeded, is not among that.
type Hoarder interface {
	// Holds lists what carries the tag of this installation in some regions, for whoever asks from this host without more words;
	// nil means the region of the account.
	Holds(ctx context.Context, regions []string) ([]Keepsake, error)
	// Discard removes what Holds has found, in the order in which it can be. What is gone is no error.
	Discard(ctx context.Context, list []Keepsake) error
}
