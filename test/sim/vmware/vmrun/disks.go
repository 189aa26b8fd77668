package vmrun

import "context"

func deleteVM(context.Context, *call) error         { return errNotSupported }
func takeSnapshot(context.Context, *call) error     { return errNotSupported }
func listSnapshots(context.Context, *call) error    { return errNotSupported }
func revertToSnapshot(context.Context, *call) error { return errNotSupported }
func deleteSnapshot(context.Context, *call) error   { return errNotSupported }
func clone(context.Context, *call) error            { return errNotSupported }
