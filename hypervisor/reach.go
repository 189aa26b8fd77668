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
