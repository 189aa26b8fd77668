package sbom

import (
	"maps"
	"slices"
	"strings"
)

// Side is the inventory of one provider of a version.
type Side struct {
	Name      string // "libvirt/amd64"
	Inventory Inventory
}

// Parity is what the providers of a version do not have in common.
type Parity struct {
	Sides   []string      `json:"sides"`
	Systems []string      `json:"systems"` // of each side, "debian 12"; empty where it is not known
	Same    int           `json:"same"`    // packages that all sides have in the same version
	Differ  []Discrepancy `json:"differ"`  // by name
}

// Discrepancy is a package that not every side has, or not in the same version.
type Discrepancy struct {
	Name     string   `json:"name"`
	Type     Type     `json:"type"`
	Versions []string `json:"versions"` // of each side, several with ", " between them; empty where it is not installed
}

// CompareProviders compares all sides. Architectures of packages are not looked at, so that the boxes of two processors can be
// compared too.
func CompareProviders(sides []Side) Parity {
	report := Parity{Sides: []string{}, Systems: []string{}, Differ: []Discrepancy{}}
	rows := map[key][]string{}
	for i, s := range sides {
		report.Sides = append(report.Sides, s.Name)
		report.Systems = append(report.Systems, strings.TrimSpace(s.Inventory.System.ID+" "+s.Inventory.System.Version))
		for k, versions := range versionsOf(withoutArch(s.Inventory.Packages)) {
			if rows[k] == nil {
				rows[k] = make([]string, len(sides))
			}
			rows[k][i] = strings.Join(versions, ", ")
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(rows), key.order) {
		if len(slices.Compact(slices.Clone(rows[k]))) == 1 {
			report.Same++
			continue
		}
		report.Differ = append(report.Differ, Discrepancy{k.name, k.typ, rows[k]})
	}
	return report
}

func withoutArch(list []Package) []Package {
	out := slices.Clone(list)
	for i := range out {
		out[i].Arch = ""
	}
	return out
}
