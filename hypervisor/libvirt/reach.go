package libvirt

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/schema"
)

var _ hypervisor.Reacher = Planner{}

// Reaching lists what of the driver's settings reaches as far as r. Volumes of pools, and files that qemuargs name, can
// change without anybody noticing.
func (Planner) Reaching(options json.RawMessage, r schema.Reach) (values []schema.Value, never string, err error) {
	set, err := decodeSettings(options)
	if err != nil {
		return nil, "", err
	}
	if values, err = schema.Reaching(set, r); err != nil || r != schema.ReachesGuest {
		return values, "", err
	}
	for _, v := range set.Volumes {
		return values, fmt.Sprintf("starts from the volume %s of pool %s, which may change", v.Volume, v.Pool), nil
	}
	for _, arg := range set.QemuArgs {
		if namesFile(arg) {
			return values, fmt.Sprintf("has QEMU read a file by qemuargs (%s), which may change", arg[0]), nil
		}
	}
	return values, "", nil
}

// fileSwitches are those switches of QEMU whose value is a file with content for the guest.
var fileSwitches = []string{"-cdrom", "-fda", "-fdb", "-hda", "-hdb", "-hdc", "-hdd", "-initrd", "-kernel", "-dtb", "-option-rom"}

func namesFile(arg []string) bool {
	if len(arg) == 0 {
		return false
	}
	rest := strings.Join(arg[1:], ",")
	return rest != "" && (slices.Contains(fileSwitches, arg[0]) || strings.Contains(rest, "file=") || strings.Contains(rest, "filename="))
}
