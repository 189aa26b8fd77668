package virtualbox

import (
	"encoding/json"
	"fmt"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/schema"
)

var _ hypervisor.Reacher = Planner{}

// Reaching lists what of the driver's settings reaches as far as r. A machine of virtualbox-vm can change without anybody
// noticing.
func (Planner) Reaching(options json.RawMessage, r schema.Reach) (values []schema.Value, never string, err error) {
	set, err := decodeSettings(options)
	if err != nil {
		return nil, "", err
	}
	values, err = schema.Reaching(set, r)
	if err != nil || r != schema.ReachesGuest {
		return values, "", err
	}
	if set.Kind == kindVM {
		return values, fmt.Sprintf("starts from the machine %q of VirtualBox, which may change", set.VM.Name), nil
	}
	return values, "", nil
}
