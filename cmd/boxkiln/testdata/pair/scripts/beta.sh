#!/bin/sh
echo only in beta
