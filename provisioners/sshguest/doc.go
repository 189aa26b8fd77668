// Package sshguest reaches a guest by SSH.
//
// [Connect] waits until a login works. It tries once a second, whether earlier tries still hang or not, and reports each
// change of what it sees as an [Observation]: no address yet, connection refused, no banner, the banner, the logins that
// the server offers, so that a user can tell a firewall from a wrong password while the wait lasts. It ends as soon as
// its context does, for instance because the machine died.
//
// The result is a [Guest]. Its connection is made anew when a call finds it gone, as after a reboot. The host key is
// pinned at the first login: another key later is an error, unless [Guest.PlanReboot] announced that the guest may come
// back as somebody else. Files go by SFTP, or by the guest's shell where it has no SFTP.
package sshguest
