# SPDX-License-Identifier: Apache-2.0
# The CUDA kernels of the library: machine code of every architecture that the compiler knows of
# these, and PTX of the first for those to come. All machine code is made of that one PTX, which
# takes a third of the time of one for each architecture.
if(CMAKE_CUDA_ARCHITECTURES)
  set(CUDA_NAMES ${CMAKE_CUDA_ARCHITECTURES})
else()
  set(CMAKE_CUDA_ARCHITECTURES OFF)
endif()
enable_language(CUDA)
if(NOT CMAKE_CUDA_ARCHITECTURES)
  execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-code OUTPUT_VARIABLE CUDA_KNOWN)
  foreach(architecture 75 80 86 89 90 100 120)
    if(CUDA_KNOWN MATCHES "sm_${architecture}[^0-9a-z]")
      list(APPEND CUDA_NAMES ${architecture})
    endif()
  endforeach()
  list(GET CUDA_NAMES 0 CUDA_FIRST)
  string(REPLACE ";" ",sm_" CUDA_CODES "sm_${CUDA_NAMES}")
  set(CUDA_CODES -gencode=arch=compute_${CUDA_FIRST},code=[${CUDA_CODES},compute_${CUDA_FIRST}])
  list(APPEND CUDA_NAMES ptx-${CUDA_FIRST})
endif()

set(CUDA_SOURCES csrc/cuda/noise.cu csrc/cuda/row_float32.cu csrc/cuda/row_float64.cu
                 csrc/cuda/row_half.cu)
target_sources(pydiffcore PRIVATE ${CUDA_SOURCES})
set_target_properties(
  pydiffcore PROPERTIES CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON CUDA_RUNTIME_LIBRARY Static
                        CUDA_VISIBILITY_PRESET hidden CUDA_ARCHITECTURES
                                                      "${CMAKE_CUDA_ARCHITECTURES}")
# After CMAKE_CUDA_FLAGS, as for the CPU: no flag of the user's changes the bits.
set_source_files_properties(
  ${CUDA_SOURCES}
  PROPERTIES COMPILE_OPTIONS
             "-O3;--fmad=false;-ftz=false;-prec-div=true;-prec-sqrt=true;-diag-suppress=1675;-Xfatbin=-compress-all;${CUDA_CODES}")
string(REPLACE ";" " " CUDA_NAMES "${CUDA_NAMES}")
set_source_files_properties(
  csrc/cuda/device.cpp
  PROPERTIES COMPILE_DEFINITIONS PDC_CUDA_ARCHITECTURES="${CUDA_NAMES}" INCLUDE_DIRECTORIES
             "${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES}")
target_link_options(pydiffcore PRIVATE "LINKER:--exclude-libs,ALL")
