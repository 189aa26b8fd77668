package hypervisor

import (
	"encoding/json"

	"github.com/boxkiln/boxkiln/internal/schema"
)

// Reacher is the ability of a Planner to tell what of its driver's options matters to a fingerprint. Without it all of
// them do.
type Reacher interface {
	// Reaching lists what of Spec.Options reaches as far as r. With schema.ReachesGuest, never says why a machine with
	// these options cannot be known beforehand, in words that follow "it": "starts from a volume of a pool".
	Reaching(options json.RawMessage, r schema.Reach) (values []schema.Value, never string, err error)
}

// HostToucher is the ability of a Planner to tell what its driver's options do on the daemon's host beyond running a guest, in
// words such as "vboxmanage runs commands on the daemon's host"; empty for nothing. Whoever may only submit builds must not
// read files or run programs by way of one.
type HostToucher interface {
	TouchesHost(options json.RawMessage) string
}
