// Package window lets people see into running machines: the picture on their screen and what they write to their serial
// port.
//
// [Screens] has one loop for each machine that somebody looks at, however many they are: it captures a few pictures a
// second, drops those that show nothing new, and ends when the last viewer leaves. A viewer that is slow misses pictures
// and holds up nobody. A [Spool] copies what a machine writes to its serial port into a file of the build, through the
// rotations of the hypervisor's own log, so that places in it are stable and the copy outlives machine and daemon; readers
// have a place in that file, and [Spool.Follow] wakes them.
//
// Guests decide about the size of their screen and the bytes of their console. Both are bounded here; whoever shows them
// still has to keep control characters from terminals.
package window
