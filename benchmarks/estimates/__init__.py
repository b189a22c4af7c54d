"""What a plan will take, known before it starts: images, hours, memory, disk.

What this device has measured comes first; counted work at the device's measured ceilings is the last resort, and is
called a guess. Nothing here changes a result. It may import profiling, training and planning.
"""
