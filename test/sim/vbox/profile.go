package main

import (
	"cmp"
	"fmt"
	"os"
)

// profile is a version of VirtualBox.
type profile struct {
	name     string // 6.1
	version  string // as --version prints it
	build    int    // 61, 70 ...: for comparisons
	settings string // the version of its settings files
}

var profiles = []profile{
	{"6.1", "6.1.36r152435", 61, "1.16-linux"},
	{"7.0", "7.0.12r159484", 70, "1.19-linux"},
	{"7.1", "7.1.4r165100", 71, "1.20-linux"},
	{"7.2", "7.2.2r170484", 72, "1.20-linux"},
}

func profileFromEnv() (profile, error) {
	name := cmp.Or(os.Getenv("BOXKILN_SIM_VBOX_PROFILE"), "6.1")
	for _, p := range profiles {
		if p.name == name {
			return p, nil
		}
	}
	return profiles[0], fmt.Errorf("BOXKILN_SIM_VBOX_PROFILE: there is no profile %q", name)
}

// seven tells if it is 7.0 or newer.
func (p profile) seven() bool { return p.build >= 70 }

// atLeast tells if it is the version or newer: 71 for 7.1.
func (p profile) atLeast(build int) bool { return p.build >= build }
