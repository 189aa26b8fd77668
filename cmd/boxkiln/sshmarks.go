package main

import (
	"strings"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/provisioners/sshguest"
)

// observed tells a build what its wait for SSH sees: lines of the log, moments of the timeline, or both.
func observed(r build.ConnectRequest) func(sshguest.Observation) {
	mark := r.Mark
	if mark == nil {
		mark = func(build.Mark, string) {}
	}
	return func(o sshguest.Observation) {
		switch o.Kind {
		case sshguest.Address:
			mark(build.MarkAddress, o.Addr)
			return
		case sshguest.PortOpen:
			mark(build.MarkPortOpen, o.Addr)
			return
		case sshguest.Banner, sshguest.ServerChanged:
			mark(build.MarkBanner, strings.TrimPrefix(o.Text, "SSH-2.0-"))
		case sshguest.LoggedIn:
			mark(build.MarkLogin, o.Addr)
		}
		r.Report(o.String())
	}
}
