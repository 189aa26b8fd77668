package wire

import "github.com/boxkiln/boxkiln/hypervisor"

// OrphansRequest names what is to be removed of what belongs to no build.
type OrphansRequest struct {
	Regions []string `json:"regions,omitempty"` // none: that of the account
	IDs     []string `json:"ids"`
}

// OrphansReply lists what a cloud holds and no build accounts for.
type OrphansReply struct {
	Orphans []hypervisor.Keepsake `json:"orphans"`
}
